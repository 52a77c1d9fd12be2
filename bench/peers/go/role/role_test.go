package role

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
)

func TestOrdersAreAnsweredLineByLine(t *testing.T) {
	closed := false
	starters := map[string]Starter{"echo": func(_ context.Context, s Spec) (*Part, error) {
		return &Part{Addr: s.Stream, Caller: callerFunc(echo), Close: func(context.Context) error { closed = true; return nil }}, nil
	}}
	orders := `{"Role":"echo","Stream":"s"}
{"Op":"run","Load":{"Calls":10,"InFlight":2,"Size":8}}
{"Op":"usage"}
{"Op":"dance"}
`
	var out bytes.Buffer
	if err := Run(t.Context(), starters, strings.NewReader(orders), &out); err != nil {
		t.Fatal(err)
	}
	var answers []answer
	for dec := json.NewDecoder(&out); dec.More(); {
		var a answer
		if err := dec.Decode(&a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	if len(answers) != 4 || answers[0].Addr != "s" || answers[1].Result.OK != 10 || answers[2].Usage.CPU <= 0 || answers[2].Usage.Allocs.Objects == 0 || answers[3].Err == "" {
		t.Errorf("got %+v", answers)
	}
	if !closed {
		t.Error("the part was not closed at the end of the orders")
	}
}

func TestAnUnknownRoleIsNamed(t *testing.T) {
	var out bytes.Buffer
	if err := Run(t.Context(), nil, strings.NewReader(`{"Role":"nonsense"}`), &out); err == nil || !strings.Contains(out.String(), "nonsense") {
		t.Errorf("error %v, answer %q", err, out.String())
	}
}
