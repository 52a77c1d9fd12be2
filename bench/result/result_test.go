package result

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func sample(t *testing.T) *Run {
	t.Helper()
	h := NewHistogram()
	for _, us := range []int64{100, 200, 300, 90_000} {
		if err := h.RecordValue(us * 1000); err != nil {
			t.Fatal(err)
		}
	}
	text, err := EncodeHistogram(h)
	if err != nil {
		t.Fatal(err)
	}
	round := Round{
		Calls: 10, OK: 4, Wrong: 1, Dropped: 2, Errors: map[string]int{"lost": 3}, Elapsed: 2 * time.Second, HDR: text, Latency: QuantilesOf(h),
		CPU:      map[string]time.Duration{PartClient: 8 * time.Microsecond, PartWorker: 16 * time.Microsecond},
		Allocs:   map[string]Allocs{PartClient: {Objects: 16, Bytes: 800}},
		Counters: map[string]int64{"client.publish.items": 60, "client.publish.batches": 3},
		Broker:   BrokerUse{Commands: map[string]int64{"xadd": 16}}, Lag: -1,
	}
	return &Run{
		Meta:  Meta{Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Versions: map[string]string{"go": "1.26"}, Seed: 7, Config: map[string]string{"rounds": "2"}},
		Legs:  []Leg{{Name: "a", Class: ClassNone}},
		Cells: []Cell{{Group: "g", Leg: "a", Workload: DefaultWorkload, InFlight: 256, Size: 128, Rounds: []Round{round, round}}},
		Goals: []Goal{{Title: "t", What: WhatRate, Num: "g/a@256", AtLeast: 2, Verdict: Met}},
	}
}

func TestARunComesBackFromItsFile(t *testing.T) {
	r, file := sample(t), filepath.Join(t.TempDir(), "r.json")
	if err := r.Save(file); err != nil {
		t.Fatal(err)
	}
	back, err := Load(file)
	if err != nil || !reflect.DeepEqual(back, r) {
		t.Errorf("got %+v, %v\nwant %+v", back, err, r)
	}
}

func TestAFileOfAnotherSchemaIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.json")
	for text, want := range map[string]string{`{"schema": 99}`: "schema is 99", `[]`: "not a benchmark's result", `{}`: "schema is 0"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
	}
}

func TestARoundsFigures(t *testing.T) {
	r := sample(t)
	rd := r.Cells[0].Rounds[0]
	// Eight calls were made: costs are shared by them, not by the dropped ones, and only four brought what they should.
	for name, v := range map[string][2]float64{
		"failed": {float64(rd.Failed()), 4}, "rate": {rd.Rate(), 2}, "CPU": {rd.CPUPerCall(), 3}, "allocations": {rd.AllocsPerCall(), 2},
		"commands": {rd.CommandsPerCall(), 2}, "batch": {rd.Batch("publish"), 20}, "no batch": {rd.Batch("settle"), 0}, "of the run": {float64(r.Failed()), 8},
	} {
		if d := v[0] - v[1]; d > 1e-9 || d < -1e-9 {
			t.Errorf("%s is %v, want %v", name, v[0], v[1])
		}
	}
	if rd.Latency.P50 < 199*time.Microsecond || rd.Latency.P50 > 201*time.Microsecond || rd.Latency.Max < 89*time.Millisecond {
		t.Errorf("quantiles %+v", rd.Latency)
	}
}

func TestHistogramsOfRoundsAreMerged(t *testing.T) {
	h, err := sample(t).Cells[0].Histogram()
	if err != nil || h.TotalCount() != 8 {
		t.Fatalf("%v, %v", h.TotalCount(), err)
	}
	if _, err := DecodeHistogram("nonsense"); err == nil {
		t.Error("nonsense is a histogram")
	}
}

func TestCellsHaveNames(t *testing.T) {
	for want, c := range map[string]Cell{
		"g/a@256":         {Group: "g", Leg: "a", Workload: DefaultWorkload, InFlight: 256},
		"g/echo-4k:a@16":  {Group: "g", Leg: "a", Workload: "echo-4k", InFlight: 16},
		"g/a~50%":         {Group: "g", Leg: "a", InFlight: 256, Rate: 1234, Load: "50%"},
		"g/parable:a~3/s": {Group: "g", Leg: "a", Workload: "parable", InFlight: 256, Rate: 3},
	} {
		if c.Key() != want {
			t.Errorf("got %q, want %q", c.Key(), want)
		}
	}
}

func TestSpread(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{3}, Spread{3, 3, 3}},
		{[]float64{9, 1, 5}, Spread{5, 1, 9}},
		{[]float64{4, 1, 3, 2}, Spread{2.5, 1, 4}},
	} {
		if got := SpreadOf(tc.values); got != tc.want {
			t.Errorf("SpreadOf(%v) = %v, want %v", tc.values, got, tc.want)
		}
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	// The second round was slow for both: its ratio is as good as the others'. One without a denominator says nothing.
	if got := Ratios([]float64{20, 2, 20, 5}, []float64{10, 1, 10, 0}); !reflect.DeepEqual(got, []float64{2, 2, 2}) {
		t.Errorf("got %v", got)
	}
}
