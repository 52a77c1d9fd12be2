package kafka

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/transport"
)

func TestURLErrorsNameWhatIsWrong(t *testing.T) {
	for raw, want := range map[string]string{
		"kafka://":                    "names no host",
		"kafka://h/topic":             `"/topic"`,
		"kafka://h?bogus=1":           `"bogus"`,
		"kafka://h?timeout=soon":      `timeout="soon"`,
		"kafka://h?partitions=0":      `partitions="0"`,
		"kafka://h?replication=x":     `replication="x"`,
		"kafka://h?max_body=1":        `max_body="1"`,
		"kafka://h?via=proxy":         `via="proxy"`,
		"kafka://h?drain=10s":         "drain=10s",
		"kafka://h?sasl=PLAIN":        "needs a user",
		"kafka://u:p@h?sasl=GSSAPI":   `"GSSAPI"`,
		"kafka://h?tls_ca=/x":         "kafkas://",
		"kafkas://h?tls_ca=/no/ca":    "/no/ca",
		"kafkas://h?tls_cert=/no/crt": "go together",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(t.Context(), u, transport.Options{})
		if !transport.IsCode(err, transport.CodeInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error doesn't say %s: %v", raw, want, err)
		}
	}
}

func TestProgressSurvivesItsEncoding(t *testing.T) {
	p := progress{nonce: "abc7", high: 140, acked: []int64{103, 101, 102, 139, 120}, tries: map[int64]int{100: 3, 138: 2}}
	got := decodeProgress(p.encode(100), 100)
	slices.Sort(p.acked)
	if !reflect.DeepEqual(p, got) {
		t.Errorf("got %+v, want %+v", got, p)
	}
	for _, junk := range []string{"", "x", "1 n", "1 n z !! ", "1 n 5 9 ", "1 n 5 3-1 ", "2 n 0  ", "1 n 5  !:y", strings.Repeat("9", 9000)} {
		if got := decodeProgress(junk, 7); got.high != 7 || len(got.acked) > 0 {
			t.Errorf("%.20q: %+v", junk, got)
		}
	}
	// Every second of 10,000 is settled: what doesn't fit is left out, and the rest still right.
	p = progress{nonce: "n", high: 10_000}
	for o := int64(1); o < 10_000; o += 2 {
		p.acked = append(p.acked, o)
	}
	s := p.encode(0)
	if len(s) > 4096 {
		t.Errorf("%d bytes of metadata; a broker takes 4,096", len(s))
	}
	if got := decodeProgress(s, 0); len(got.acked) < 500 || got.acked[1] != 3 {
		t.Errorf("%d settled offsets are left", len(got.acked))
	}
}

func TestAssignIsEvenAndSticky(t *testing.T) {
	members := []claim{{"a", nil}}
	for n := 1; n <= 9; n++ {
		shares := assign(members, 8)
		seen := map[int32]bool{}
		moved := 0
		for _, m := range members {
			s := shares[m.id]
			if len(s) < 8/len(members) || len(s) > (8+len(members)-1)/len(members) {
				t.Errorf("%d members: %s has %d of 8 partitions", n, m.id, len(s))
			}
			for _, p := range s {
				if seen[p] {
					t.Errorf("partition %d has two owners", p)
				}
				seen[p] = true
				if len(m.owned) > 0 && !slices.Contains(m.owned, p) {
					moved++
				}
			}
		}
		if len(seen) != 8 {
			t.Errorf("%d of 8 partitions are assigned", len(seen))
		}
		if moved > 0 {
			t.Errorf("%d partitions moved to members that had others before", moved)
		}
		for i := range members {
			members[i].owned = shares[members[i].id]
		}
		members = append(members, claim{fmt.Sprint("m", n), nil})
	}
	// Two members that both claim a partition (one was away) can't both have it.
	shares := assign([]claim{{"a", []int32{0, 1}}, {"b", []int32{1, 0}}}, 2)
	if len(shares["a"]) != 1 || len(shares["b"]) != 1 || shares["a"][0] == shares["b"][0] {
		t.Errorf("got %v", shares)
	}
}

func TestGroupMetadataSurvivesItsEncoding(t *testing.T) {
	owned, err := parseSubscription(subscription("topic", []int32{3, 1}))
	if err != nil || !slices.Equal(owned, []int32{3, 1}) {
		t.Errorf("subscription: %v, %v", owned, err)
	}
	parts, err := parseAssignment(assignment("topic", []int32{5}), "topic")
	if err != nil || !slices.Equal(parts, []int32{5}) {
		t.Errorf("assignment: %v, %v", parts, err)
	}
	whole := subscription("topic", []int32{3, 1})
	for n := range whole {
		_, _ = parseSubscription(whole[:n]) // must not panic
		_, _ = parseAssignment(whole[:n], "topic")
	}
	if _, err := parseSubscription([]byte{0, 0, 0x7f, 0xff, 0xff, 0xff}); err == nil {
		t.Error("a count beyond the data was believed")
	}
}
