package transport

import "testing"

func TestLedgerKeepsReservedSlots(t *testing.T) {
	// Four free slots, two of them reserved for a: b and c together get two, a gets all four if they want none.
	credits := []Credit{{Stream: "b", Max: 2}, {Stream: "c", Max: 2}, {Stream: "a", Max: 4, Own: 2}}
	l := NewLedger(4, credits)
	if got := l.Allow(2); got != 4 {
		t.Fatalf("a alone: %d, want 4", got)
	}
	l.Take(0, 2)
	if got := l.Allow(1); got != 0 {
		t.Fatalf("c after b took the pool: %d, want 0", got)
	}
	if got := l.Allow(2); got != 2 {
		t.Fatalf("a after b took the pool: %d, want its own 2", got)
	}
	l.Take(2, 2)
	if got := l.Allow(2); got != 0 {
		t.Fatalf("a after all: %d", got)
	}
}

func TestLedgerUniform(t *testing.T) {
	for _, tc := range []struct {
		name           string
		max            int
		credits        []Credit
		count, streams int
	}{
		{"one", 8, []Credit{{"a", 8, 0}}, 8, 1},
		{"two share", 8, []Credit{{"a", 8, 0}, {"b", 8, 0}}, 4, 2},
		{"least credit", 8, []Credit{{"a", 1, 0}, {"b", 8, 0}}, 1, 2},
		{"zero is left out", 8, []Credit{{"a", 0, 0}, {"b", 8, 0}}, 8, 1},
		{"more streams than slots", 2, []Credit{{"a", 2, 0}, {"b", 2, 0}, {"c", 2, 0}}, 0, 3},
		{"reserved", 4, []Credit{{"a", 4, 2}, {"b", 2, 0}, {"c", 2, 0}}, 1, 3},
		{"only reserved", 2, []Credit{{"a", 2, 2}, {"b", 2, 0}}, 2, 1},
		{"none", 4, nil, 0, 0},
	} {
		l := NewLedger(tc.max, tc.credits)
		if c, s := l.Uniform(); c != tc.count || s != tc.streams {
			t.Errorf("%s: %d of %d streams, want %d of %d", tc.name, c, s, tc.count, tc.streams)
		}
	}
}
