package history

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// sound is a history with nothing wrong in it: a call that was delivered twice, a call that expired, a one-way message that was
// dead-lettered, one that was rejected, one whose outcome is unknown, and bodies that are no frames.
const sound = `
{"t":1,"p":"gw","k":"joined"}
{"t":1,"p":"w","k":"serving","group":"g"}
{"t":2,"p":"gw","k":"intent","id":"call","what":"request","stream":"s"}
{"t":3,"p":"gw","k":"published","id":"call","what":"request","stream":"s","outcome":"accepted"}
{"t":4,"p":"w","k":"delivered","id":"call","what":"request","stream":"s","group":"g","entry":"1","attempt":1}
{"t":5,"p":"w","k":"began","id":"call","what":"request","stream":"s","group":"g","attempt":1}
{"t":6,"p":"w","k":"ended","id":"call","what":"request","stream":"s","group":"g","attempt":1}
{"t":7,"p":"w","k":"intent","id":"call","what":"reply","stream":"@gw","lane":true}
{"t":8,"p":"gw","k":"arrived","id":"call","what":"reply","stream":"@gw","lane":true}
{"t":9,"p":"gw","k":"answered","id":"call","what":"request","stream":"s"}
{"t":10,"p":"w","k":"settled","id":"call","what":"reply","stream":"s","group":"g","entry":"1","attempt":1,"verb":"ack"}
{"t":11,"p":"w","k":"delivered","id":"call","what":"request","stream":"s","group":"g","entry":"1","attempt":2}
{"t":12,"p":"gw","k":"intent","id":"late","what":"request","stream":"s"}
{"t":13,"p":"gw","k":"published","id":"late","what":"request","stream":"s","outcome":"accepted"}
{"t":14,"p":"gw","k":"given-up","id":"late","what":"request","stream":"s","code":"deadline_exceeded"}
{"t":15,"p":"w","k":"delivered","id":"late","what":"request","stream":"s","group":"g","entry":"2","attempt":1}
{"t":15,"p":"w","k":"expired","stream":"s","code":"deadline"}
{"t":16,"p":"w","k":"settled","id":"late","stream":"s","group":"g","entry":"2","attempt":1,"verb":"ack"}
{"t":17,"p":"gw","k":"intent","id":"way","what":"send","stream":"s"}
{"t":18,"p":"gw","k":"published","id":"way","what":"send","stream":"s","outcome":"accepted"}
{"t":19,"p":"gw","k":"acknowledged","id":"way","what":"send","stream":"s"}
{"t":20,"p":"w","k":"delivered","id":"way","what":"send","stream":"s","group":"g","entry":"3","attempt":1}
{"t":21,"p":"w","k":"began","id":"way","what":"send","stream":"s","group":"g","attempt":1}
{"t":22,"p":"w","k":"ended","id":"way","what":"send","stream":"s","group":"g","attempt":1,"code":"internal"}
{"t":23,"p":"w","k":"settled","id":"way","what":"dead","stream":"s","group":"g","entry":"3","attempt":1,"verb":"ack"}
{"t":24,"p":"gw","k":"intent","id":"no","what":"send","stream":"s"}
{"t":25,"p":"gw","k":"published","id":"no","what":"send","stream":"s","outcome":"rejected","code":"full"}
{"t":26,"p":"gw","k":"given-up","id":"no","what":"send","stream":"s","code":"unavailable"}
{"t":27,"p":"gw","k":"intent","id":"maybe","what":"send","stream":"s"}
{"t":28,"p":"gw","k":"published","id":"maybe","what":"send","stream":"s","outcome":"unknown","code":"timeout"}
{"t":29,"p":"gw","k":"arrived","id":"call","what":"reply","stream":"@gw","lane":true}
{"t":30,"p":"gw","k":"dropped","code":"duplicate"}
{"t":31,"p":"a","k":"intent","id":"r1","what":"raw","stream":"s","key":"k"}
{"t":32,"p":"a","k":"published","id":"r1","what":"raw","stream":"s","key":"k","outcome":"accepted"}
{"t":33,"p":"a","k":"intent","id":"r2","what":"raw","stream":"s","key":"k"}
{"t":34,"p":"a","k":"published","id":"r2","what":"raw","stream":"s","key":"k","outcome":"accepted"}
{"t":35,"p":"b","k":"delivered","id":"r1","what":"raw","stream":"s","group":"g","entry":"4","attempt":1}
{"t":36,"p":"b","k":"delivered","id":"r2","what":"raw","stream":"s","group":"g","entry":"5","attempt":1}
{"t":37,"p":"b","k":"settled","id":"r1","what":"","stream":"s","group":"g","entry":"4","attempt":1,"verb":"ack"}
{"t":38,"p":"a","k":"left","id":"r2","what":"raw","stream":"s"}
{"t":40,"p":"gw","k":"closed"}
`

// strictest is all that can be demanded.
var strictest = Rules{OneEffect: true, OneEntry: true, InOrder: true, Strict: true}

// TestRulesBite: each rule is broken by a history that differs from the sound one in some lines, and by no other rule's.
func TestRulesBite(t *testing.T) {
	if v := strictest.Check(parse(t, sound)); v.Err() != nil {
		t.Fatalf("the sound history: %v", v.Err())
	}
	for _, c := range []struct {
		name, rule string
		without    []string // the lines that have one of these go
		and        []string // these lines are added
		rules      Rules
	}{
		{"an accepted call vanishes", "accepted", []string{`"late","stream":"s","group":"g","entry":"2","attempt":1,"verb":"ack"`, `"expired"`}, nil, Rules{}},
		{"an accepted message is acked with its failure", "accepted", []string{`"what":"dead"`}, []string{`{"t":23,"p":"w","k":"settled","id":"way","what":"","stream":"s","group":"g","entry":"3","attempt":1,"verb":"ack"}`}, Rules{}},
		{"its dead letter was refused", "accepted", []string{`"what":"dead"`}, []string{`{"t":23,"p":"w","k":"settled","id":"way","what":"dead","stream":"s","group":"g","entry":"3","attempt":1,"verb":"ack","code":"full"}`}, Rules{}},
		{"a raw body is not there any more", "accepted", []string{`"left"`}, nil, Rules{}},
		{"a call is acked unrun and nothing counted it", "expired", []string{`"expired"`}, nil, Rules{}},
		{"a delivery that nobody published", "invented", nil, []string{`{"t":50,"p":"w","k":"delivered","id":"x","what":"send","stream":"s","group":"g","entry":"9","attempt":1}`}, Rules{}},
		{"a run without a delivery", "invented", nil, []string{`{"t":50,"p":"w","k":"began","id":"x","what":"send","stream":"s","group":"g","attempt":1}`}, Rules{}},
		{"a success that no handler gave", "invented", []string{`"began","id":"call"`, `"ended","id":"call"`}, nil, Rules{}},
		{"a reply that nobody published", "invented", []string{`"intent","id":"call","what":"reply"`}, nil, Rules{}},
		{"a rejected message is delivered", "rejected", nil, []string{`{"t":50,"p":"w","k":"delivered","id":"no","what":"send","stream":"s","group":"g","entry":"9","attempt":1}`}, Rules{}},
		{"a call is answered twice", "answers", []string{`"dropped"`}, []string{`{"t":31,"p":"gw","k":"answered","id":"call","what":"request","stream":"s"}`}, Rules{}},
		{"a reply is dropped without a word", "replies", []string{`"dropped"`}, nil, Rules{}},
		{"a rejected message is acknowledged", "acknowledged", []string{`"given-up","id":"no"`}, []string{
			`{"t":26,"p":"gw","k":"acknowledged","id":"no","what":"send","stream":"s"}`, `{"t":27,"p":"gw","k":"left","id":"no","what":"send","stream":"s"}`}, Rules{}},
		{"two effects", "one-effect", nil, []string{`{"t":50,"p":"w","k":"began","id":"call","what":"request","stream":"s","group":"g","attempt":2}`}, Rules{OneEffect: true}},
		{"two entries", "one-entry", nil, []string{`{"t":50,"p":"w","k":"delivered","id":"call","what":"request","stream":"s","group":"g","entry":"9","attempt":1}`}, Rules{OneEntry: true}},
		{"a key's messages change places", "order", []string{`"delivered","id":"r2"`}, []string{`{"t":34,"p":"b","k":"delivered","id":"r2","what":"raw","stream":"s","group":"g","entry":"5","attempt":1}`}, Rules{InOrder: true}},
		{"a stream's messages change places", "order", []string{`"delivered","id":"late"`}, []string{`{"t":60,"p":"w","k":"delivered","id":"late","what":"request","stream":"s","group":"g","entry":"2","attempt":1}`}, Rules{Strict: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var kept []string
			for line := range strings.Lines(sound) {
				if !slices.ContainsFunc(c.without, func(s string) bool { return strings.Contains(line, s) }) {
					kept = append(kept, strings.TrimSpace(line))
				}
			}
			events := parse(t, strings.Join(append(kept, c.and...), "\n"))
			v := c.rules.Check(events)
			if len(v.Violations) == 0 {
				t.Fatal("not noticed")
			}
			for _, x := range v.Violations {
				if x.Rule != c.rule {
					t.Errorf("noticed as %v, want rule %s", x, c.rule)
				}
			}
			if !strings.Contains(v.Err().Error(), v.Violations[0].String()) {
				t.Errorf("the error doesn't say it: %v", v.Err())
			}
			lax := c.rules
			lax.Lossy = true
			if c.rule == "accepted" && lax.Check(events).Err() != nil {
				t.Errorf("though losses are declared: %v", lax.Check(events).Err())
			}
			if c.rules != (Rules{}) && (Rules{}).Check(events).Err() != nil {
				t.Errorf("though it is not demanded: %v", Rules{}.Check(events).Err())
			}
		})
	}
}

func TestCounts(t *testing.T) {
	got := strictest.Check(parse(t, sound)).String()
	const want = "accepted 5, answered 1, dead 1, delivered 5, dropped-duplicate 1, expired 1, handled 3, left 1, published 7, rejected 1, unknown 1"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestErrorIsShort: a run that loses thousands names a few.
func TestErrorIsShort(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, `{"t":1,"p":"a","k":"published","id":"%d","what":"send","stream":"s","outcome":"accepted"}`+"\n", i)
	}
	text := Rules{}.Check(parse(t, b.String())).Err().Error()
	if n := strings.Count(text, "\n"); n != shown+1 || !strings.Contains(text, "accepted: 995 more") {
		t.Errorf("%d lines:\n%s", n, text)
	}
}

// TestOrderAtOnce: for messages that are published at once no order is claimed.
func TestOrderAtOnce(t *testing.T) {
	const lines = `
{"t":1,"p":"a","k":"intent","id":"1","what":"raw","stream":"s","key":"k"}
{"t":2,"p":"a","k":"intent","id":"2","what":"raw","stream":"s","key":"k"}
{"t":3,"p":"a","k":"published","id":"1","what":"raw","stream":"s","key":"k","outcome":"accepted"}
{"t":4,"p":"a","k":"published","id":"2","what":"raw","stream":"s","key":"k","outcome":"accepted"}
{"t":5,"p":"b","k":"delivered","id":"2","what":"raw","stream":"s","group":"g","entry":"1","attempt":1}
{"t":6,"p":"b","k":"delivered","id":"1","what":"raw","stream":"s","group":"g","entry":"2","attempt":1}
`
	if v := (Rules{InOrder: true, Strict: true, Lossy: true}).Check(parse(t, lines)); v.Err() != nil {
		t.Error(v.Err())
	}
}

func parse(t *testing.T, lines string) []Event {
	t.Helper()
	events, err := Read(bytes.NewReader([]byte(strings.TrimSpace(lines) + "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return events
}
