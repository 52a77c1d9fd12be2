package bench

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeLeg records its visits and answers at once.
type fakeLeg struct {
	name   string
	visits *[]string
	fail   bool
}

func (l *fakeLeg) Name() string                { return l.name }
func (l *fakeLeg) Start(context.Context) error { return nil }
func (l *fakeLeg) Stop() error                 { return nil }
func (l *fakeLeg) Run(_ context.Context, load Load) (Visit, error) {
	if l.fail {
		return Visit{}, errors.New("the process ended")
	}
	*l.visits = append(*l.visits, Cell{l.name, load.InFlight}.String())
	return Visit{LoadResult: LoadResult{Load: load, OK: load.Calls, Elapsed: time.Duration(load.Calls) * time.Millisecond}}, nil
}

func TestRoundsGoForthAndBack(t *testing.T) {
	var visits []string
	in := interleaver{
		legs:   map[string]Leg{"a": &fakeLeg{"a", &visits, false}, "b": &fakeLeg{"b", &visits, false}},
		cells:  []Cell{{"a", 1}, {"b", 4}, {"a", 8}},
		visit:  time.Second,
		rounds: 2, progress: io.Discard, size: 8,
	}
	got, err := in.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	round := []string{"a@1", "b@4", "a@8", "a@8", "b@4", "a@1"}
	if want := slices.Concat([]string{"a@1", "b@4", "a@8"}, round, round); !slices.Equal(visits, want) {
		t.Errorf("visits %v, want %v", visits, want)
	}
	for _, c := range in.cells {
		// 1,000 calls a second were measured when warming up, so each visit of a second makes 1,000.
		if len(got[c]) != 2 || got[c][0].Calls != 2000 {
			t.Errorf("%s: %+v", c, got[c])
		}
	}
}

func TestAFailingLegFailsTheRun(t *testing.T) {
	in := interleaver{
		legs: map[string]Leg{"a": &fakeLeg{"a", nil, true}}, cells: []Cell{{"a", 1}}, visit: time.Second, rounds: 1, progress: io.Discard,
	}
	if _, err := in.run(t.Context()); err == nil || !strings.Contains(err.Error(), "a@1") {
		t.Errorf("got %v, want an error that names the cell", err)
	}
}
