package wire_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/rpc/wire"
)

// badFrame is one line of testdata/bad.json. Frame is hexadecimal; "FIXED" stands for the 48 bytes of a good request's
// fixed header, and a part in braces, {61*8193}, for a byte repeated.
type badFrame struct {
	Name   string `json:"name"`
	Frame  string `json:"frame"`
	Pack   bool   `json:"pack"` // decodes, or not, and is no pack
	Reason string `json:"reason"`
	Offset int    `json:"offset"`
}

func expand(t testing.TB, s string) []byte {
	t.Helper()
	var out []byte
	s = strings.ReplaceAll(s, " ", "")
	fixed := "01010000" + strings.Repeat("00", 44)
	s = strings.ReplaceAll(s, "FIXED", fixed)
	for s != "" {
		if s[0] == '{' {
			body, rest, _ := strings.Cut(s[1:], "}")
			unit, times, _ := strings.Cut(body, "*")
			n := 0
			if err := json.Unmarshal([]byte(times), &n); err != nil {
				t.Fatal(err)
			}
			b, err := hex.DecodeString(strings.Repeat(unit, n))
			if err != nil {
				t.Fatal(err)
			}
			out, s = append(out, b...), rest
			continue
		}
		end := strings.IndexByte(s, '{')
		if end < 0 {
			end = len(s)
		}
		b, err := hex.DecodeString(s[:end])
		if err != nil {
			t.Fatal(err)
		}
		out, s = append(out, b...), s[end:]
	}
	return out
}

func badFrames(t testing.TB) []badFrame {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "bad.json"))
	if err != nil {
		t.Fatal(err)
	}
	var frames []badFrame
	if err := json.Unmarshal(b, &frames); err != nil {
		t.Fatal(err)
	}
	return frames
}

func TestBadFrames(t *testing.T) {
	seen := map[wire.Reason]bool{}
	for _, f := range badFrames(t) {
		t.Run(f.Name, func(t *testing.T) {
			frame := expand(t, f.Frame)
			e := wire.Envelope{Kind: wire.KindReply, Function: "left over", Headers: make(wire.Header, 2)}
			err := wire.Decode(&e, frame)
			if f.Pack {
				e = wire.Envelope{}
				err = wire.Unpack(frame, func(m []byte) { t.Errorf("member %x of a bad pack", m) })
			}
			de, ok := errors.AsType[*wire.DecodeError](err)
			if !ok {
				t.Fatalf("decoded with %v, want reason %s", err, f.Reason)
			}
			if string(de.Reason) != f.Reason || de.Offset != f.Offset {
				t.Errorf("%v (reason %s, offset %d), want reason %s, offset %d", err, de.Reason, de.Offset, f.Reason, f.Offset)
			}
			if e.Function != "" || e.Kind != 0 || len(e.Headers) != 0 {
				t.Errorf("a refused frame left %+v behind", e)
			}
			seen[de.Reason] = true
		})
	}
	for _, r := range []wire.Reason{wire.ReasonShort, wire.ReasonLength, wire.ReasonVersion, wire.ReasonKind, wire.ReasonCode, wire.ReasonTag, wire.ReasonTooLarge, wire.ReasonTwice} {
		if !seen[r] {
			t.Errorf("no bad frame shows reason %s", r)
		}
	}
}

// TestTruncated: no proper prefix that ends before the body is a frame.
func TestTruncated(t *testing.T) {
	e := goldenVectors()["all-fields"].e
	frame := wire.Append(nil, e)
	for n := range len(frame) - len(e.Body) {
		var got wire.Envelope
		if err := wire.Decode(&got, frame[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes were taken as a frame", n, len(frame))
		}
	}
}

func TestCheckLimits(t *testing.T) {
	long := strings.Repeat("x", wire.MaxString+1)
	for name, e := range map[string]*wire.Envelope{
		"reply address":   {ReplyTo: long},
		"stream":          {Stream: long},
		"function":        {Function: long},
		"content type":    {ContentType: long},
		"traceparent":     {Trace: long},
		"tracestate":      {TraceState: long},
		"idempotency key": {IdempotencyKey: long},
		"message":         {Message: long},
		"header":          {Headers: make(wire.Header, wire.MaxFields+1)},
		"header bytes":    {Headers: wire.Header{{Name: "n", Value: strings.Repeat("v", wire.MaxFieldBytes)}}},
	} {
		e.Kind = wire.KindRequest
		err := wire.CheckLimits(e)
		de, ok := errors.AsType[*wire.DecodeError](err)
		if !ok || de.Reason != wire.ReasonTooLarge || !strings.HasPrefix(name, de.Part) || strings.Contains(err.Error(), "byte") {
			t.Errorf("%s: %v", name, err)
		}
		var got wire.Envelope
		if err := wire.Decode(&got, wire.Append(nil, e)); err == nil {
			t.Errorf("%s: the decoder takes what CheckLimits refuses", name)
		}
	}
}

// TestOptionalFields: what a later encoder may add is skipped, wherever it stands.
func TestOptionalFields(t *testing.T) {
	frame := expand(t, "FIXED 80 03 616263 03 01 66 ff 00 09 01 6e 01 76 c8 01 7a 00 626f6479")
	var e wire.Envelope
	if err := wire.Decode(&e, frame); err != nil {
		t.Fatal(err)
	}
	if e.Function != "f" || e.Headers.Get("N") != "v" || len(e.Headers) != 1 || string(e.Body) != "body" {
		t.Fatalf("%+v", e)
	}
	// Flags and reserved bytes that have no meaning yet are ignored as well.
	frame[3], frame[47] = 0xfe, 0xff
	if err := wire.Decode(&e, frame); err != nil || e.Inferred {
		t.Fatal(err, e)
	}
}
