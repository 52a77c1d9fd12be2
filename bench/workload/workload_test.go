package workload

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/bench/load"
)

func TestPresetsAreGood(t *testing.T) {
	for _, name := range Names() {
		w, err := Preset(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if w.Name != name || w.About == "" || len(w.Legs) == 0 || w.MeanSize() < load.MinSize {
			t.Errorf("%s: %+v", name, w)
		}
	}
	for _, want := range []string{"echo-128", "echo-4k", "parable", "many-streams"} {
		if !slices.Contains(Names(), want) {
			t.Errorf("no preset %s", want)
		}
	}
	if w, err := Preset("echo-128"); err != nil || w.MeanSize() != Default().MeanSize() || w.InFlight != Default().InFlight {
		t.Errorf("the default is not the preset: %+v, %v", w, err)
	}
}

func TestAFileBecomesALoad(t *testing.T) {
	w, err := Parse("w.yaml", []byte(`
name: mine
arrival: {process: constant, rate: 100}
duration: 3s
in_flight: 20
payload: {list: [{size: 100, weight: 3}, {size: 500, weight: 1}]}
classes:
  - {name: a, share: 1, cpu: 10ms, stream: x, min: 1, max: 2}
  - {name: b, share: 3, cpu: 2ms}
slots: 4
seed: 5
`))
	if err != nil {
		t.Fatal(err)
	}
	l, s := w.Load(), w.Spec()
	if l.Rate != 100 || l.Arrival != load.Constant || l.InFlight != 20 || l.Seed != 5 || len(l.Sizes) != 2 || l.Sizes[1] != (load.Sizes{Min: 500, Max: 500, Weight: 1}) {
		t.Errorf("load %+v", l)
	}
	if w.MeanSize() != 200 || w.MeanWork() != 4*time.Millisecond || w.Duration.D() != 3*time.Second {
		t.Errorf("mean size %d, work %v, duration %v", w.MeanSize(), w.MeanWork(), w.Duration)
	}
	if s.Slots != 4 || len(s.Kinds) != 2 || s.Kinds[0].Stream != "x" || s.Kinds[0].Max != 2 || s.Streams != 1 {
		t.Errorf("spec %+v", s)
	}
}

func TestErrorsNameLineAndField(t *testing.T) {
	for text, want := range map[string][]string{
		"name: a\nrat: 5":                                              {"w.yaml:2", `"rat"`},
		"name: a\nduration: soon":                                      {"w.yaml:2", "duration"},
		"name: a\n\narrival: {rate: -1}":                               {"w.yaml:3: arrival.rate is -1"},
		"name: a\narrival:\n  rate: 5\n  process: bursts":              {"w.yaml:4: arrival.process", "poisson"},
		"in_flight: 3":                                                 {"w.yaml: name is missing"},
		"name: a\npayload: {fixed: 4}":                                 {"w.yaml:2: payload.fixed is 4", "8 to"},
		"name: a\npayload: {fixed: 40, uniform: {min: 9, max: 8}}":     {"w.yaml:2: payload has more than one", "payload.uniform.max is 8"},
		"name: a\nclasses:\n  - {name: x, share: 1, cpu: -1s}":         {"w.yaml:3: classes[0].cpu is -1s"},
		"name: a\nclasses:\n  - {name: x, share: 1}\n  - {name: x}":    {"w.yaml:4: classes[1].name", "classes[1].share"},
		"name: a\nstreams: 0\nin_flight: -1":                           {"w.yaml:3: in_flight is -1"},
		"name: a\nstreams: 2\nclasses: [{name: x, share: 1, cpu: 1s}]": {"w.yaml:2: streams and classes"},
	} {
		_, err := Parse("w.yaml", []byte(text))
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: got %v, want %q", text, err, part)
			}
		}
	}
	if _, err := Find("no-such"); err == nil || !strings.Contains(err.Error(), "--list") {
		t.Errorf("got %v", err)
	}
}
