package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/rpc/wire"
)

// checkFrame decodes any bytes and holds the result against what Decode promises.
func checkFrame(frame []byte) error {
	var e wire.Envelope
	before := bytes.Clone(frame)
	err := wire.Decode(&e, frame)
	if !bytes.Equal(before, frame) {
		return errors.New("Decode changed its input")
	}
	if err != nil {
		de, ok := errors.AsType[*wire.DecodeError](err)
		if !ok || de.Reason == "" || de.Part == "" || de.Offset < 0 || de.Offset > len(frame) {
			return fmt.Errorf("a bad frame gave %#v", err)
		}
		return nil
	}
	// What was decoded is in limits, and encodes to a frame that decodes to the same and is not longer than the first.
	if err := wire.CheckLimits(&e); err != nil {
		return fmt.Errorf("decoded beyond the limits: %w", err)
	}
	again := wire.Append(nil, &e)
	if len(again) > len(frame) {
		return fmt.Errorf("%d bytes grew to %d", len(frame), len(again))
	}
	var e2 wire.Envelope
	if err := wire.Decode(&e2, again); err != nil {
		return fmt.Errorf("re-encoded frame: %w", err)
	}
	if !reflect.DeepEqual(e, e2) {
		return fmt.Errorf("decoded %+v, after a round trip %+v", e, e2)
	}
	return nil
}

func seeds(tb testing.TB) [][]byte {
	tb.Helper()
	var out [][]byte
	for name, v := range goldenVectors() {
		if name != "max-limits" { // so large that mutations of it find nothing
			out = append(out, wire.Append(nil, v.e))
		}
	}
	return out
}

func FuzzDecode(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if err := checkFrame(frame); err != nil {
			t.Fatal(err)
		}
	})
}

// TestMutatedFrames is a short fuzz that every test run does: good frames with bytes changed, cut, doubled and inserted,
// the allocation of each decode bounded as Decode promises.
func TestMutatedFrames(t *testing.T) {
	all := seeds(t)
	b, err := os.ReadFile(filepath.Join("testdata", "bad.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bad []badFrame
	if err := json.Unmarshal(b, &bad); err != nil {
		t.Fatal(err)
	}
	for _, f := range bad {
		if frame := expand(t, f.Frame); len(frame) < 2048 {
			all = append(all, frame)
		}
	}
	const errorBytes = 512 // of the error value and its text
	rnd := rand.New(rand.NewPCG(3, 14))
	var before, after runtime.MemStats
	good := 0
	for i := range 5000 {
		frame := mutate(rnd, bytes.Clone(all[rnd.IntN(len(all))]))
		if err := checkFrame(frame); err != nil {
			t.Fatalf("round %d, frame %x: %v", i, frame, err)
		}
		var e wire.Envelope
		runtime.ReadMemStats(&before)
		err := wire.Decode(&e, frame)
		runtime.ReadMemStats(&after)
		if got, most := after.TotalAlloc-before.TotalAlloc, uint64(2*len(frame)+wire.HeaderSliceMax+errorBytes); got > most {
			t.Fatalf("round %d: decoding %d bytes allocated %d, more than %d", i, len(frame), got, most)
		}
		if err == nil {
			good++
		}
	}
	if good < 100 || good > 4900 {
		t.Fatalf("%d of 5000 frames were good: the mutations test only one side", good)
	}
}

func mutate(rnd *rand.Rand, b []byte) []byte {
	for range 1 + rnd.IntN(4) {
		if len(b) == 0 {
			return append(b, byte(rnd.Uint32()))
		}
		i := rnd.IntN(len(b))
		switch rnd.IntN(6) {
		case 0:
			b[i] = byte(rnd.Uint32())
		case 1:
			b[i] ^= 1 << rnd.IntN(8)
		case 2:
			b = b[:i]
		case 3:
			b = append(b, b[i:]...)
		case 4:
			b = append(b[:i:i], append([]byte{byte(rnd.Uint32()), 0x80}, b[i:]...)...)
		case 5:
			b = append(b[:i], b[i+1:]...)
		}
	}
	return b
}

func randomEnvelope(rnd *rand.Rand) *wire.Envelope {
	str := func() string {
		if rnd.IntN(3) == 0 {
			return ""
		}
		b := make([]byte, rnd.IntN(300))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return string(b)
	}
	e := &wire.Envelope{
		Kind: wire.Kind(1 + rnd.IntN(5)), Code: wire.Code(rnd.IntN(17)), Inferred: rnd.IntN(2) == 0, Status: uint16(rnd.Uint32()), Attempt: uint16(rnd.Uint32()),
		Deadline: int64(rnd.Uint64()), Budget: rnd.Uint32(), QueueMicros: rnd.Uint32(), HandlerMicros: rnd.Uint32(),
		ReplyTo: str(), Stream: str(), Function: str(), ContentType: str(), Trace: str(), TraceState: str(), IdempotencyKey: str(), Message: str(),
		Body: []byte(str()),
	}
	for i := range e.ID {
		e.ID[i] = byte(rnd.Uint32())
	}
	for range rnd.IntN(20) {
		e.Headers = append(e.Headers, wire.Field{Name: str(), Value: str()})
	}
	return e
}

func TestRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	prefix := []byte("kept")
	var reused wire.Envelope
	for range 2000 {
		e := randomEnvelope(rnd)
		frame := wire.Append(prefix, e)
		if !bytes.HasPrefix(frame, prefix) {
			t.Fatal("Append changed what was there")
		}
		frame = frame[len(prefix):]
		var fresh wire.Envelope
		if err := wire.Decode(&fresh, frame); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&fresh, e) {
			t.Fatalf("%+v came back as %+v", e, fresh)
		}
		if err := wire.Decode(&reused, frame); err != nil {
			t.Fatal(err)
		}
		if len(reused.Headers) == 0 {
			reused.Headers, fresh.Headers = nil, nil
		}
		if !reflect.DeepEqual(reused, fresh) {
			t.Fatalf("into a used envelope: %+v, into a new one: %+v", reused, fresh)
		}
	}
}

// TestAliasing: strings are copies, the body is not, and appending to the body does not write behind the frame.
func TestAliasing(t *testing.T) {
	frame := wire.Append(make([]byte, 0, 500), &wire.Envelope{Kind: wire.KindRequest, Function: "f", Headers: wire.Header{{Name: "n", Value: "v"}}, Body: []byte("b")})
	var e wire.Envelope
	if err := wire.Decode(&e, frame); err != nil {
		t.Fatal(err)
	}
	if longer := append(e.Body, 'x'); &longer[0] == &e.Body[0] {
		t.Error("appending to the body writes into the caller's buffer")
	}
	for i := range frame {
		frame[i] = '?'
	}
	if e.Function != "f" || e.Headers[0] != (wire.Field{Name: "n", Value: "v"}) || string(e.Body) != "?" {
		t.Errorf("%+v", e)
	}
}

func TestAllocations(t *testing.T) {
	e := goldenVectors()["request"].e
	e.Headers = append(e.Headers, wire.Header{{Name: "a", Value: "b"}, {Name: "c", Value: "d"}}...)
	buf := make([]byte, 0, 4096)
	frame := wire.Append(nil, e)
	check := func(what string, most float64, f func()) {
		if n := testing.AllocsPerRun(200, f); n > most {
			t.Errorf("%s: %v allocations, at most %v are promised", what, n, most)
		}
	}
	check("encode", 0, func() { buf = wire.Append(buf[:0], e) })
	check("limits", 0, func() { _ = wire.CheckLimits(e) })
	check("decode into a new envelope", 2, func() {
		var d wire.Envelope
		_ = wire.Decode(&d, frame)
	})
	var used wire.Envelope
	check("decode into a used envelope", 1, func() { _ = wire.Decode(&used, frame) })
}

// TestDecodedSize holds the worst cases against the promise: many tiny header fields, and the largest frame.
func TestDecodedSize(t *testing.T) {
	tiny := wire.Append(nil, &wire.Envelope{Kind: wire.KindRequest, Headers: make(wire.Header, wire.MaxFields)})
	for name, frame := range map[string][]byte{"tiny header fields": tiny, "largest": wire.Append(nil, goldenVectors()["max-limits"].e)} {
		const runs = 100
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			var e wire.Envelope
			if err := wire.Decode(&e, frame); err != nil {
				t.Fatal(err)
			}
		}
		runtime.ReadMemStats(&after)
		bytes, allocs := (after.TotalAlloc-before.TotalAlloc)/runs, (after.Mallocs-before.Mallocs)/runs
		if most := uint64(2*len(frame) + wire.HeaderSliceMax); bytes > most || allocs > 2 {
			t.Errorf("%s: %d bytes decoded in %d bytes and %d allocations, at most %d and 2", name, len(frame), bytes, allocs, most)
		}
	}
}

func TestCodes(t *testing.T) {
	for c := wire.CodeOK; c.Valid(); c++ {
		if got, ok := wire.ParseCode(c.String()); !ok || got != c {
			t.Errorf("%v parses as %v", c, got)
		}
		if s := c.HTTPStatus(); s < 200 || s > 599 {
			t.Errorf("%v has status %d", c, s)
		}
		// Codes that share a status come back as one of those that share it.
		if back := wire.CodeFromHTTP(c.HTTPStatus()); back.HTTPStatus() != c.HTTPStatus() {
			t.Errorf("%v → %d → %v", c, c.HTTPStatus(), back)
		}
	}
	if wire.Code(17).Valid() || wire.Code(200).HTTPStatus() != 500 || wire.Code(200).String() != "unknown" {
		t.Error("a code outside the set")
	}
	if _, ok := wire.ParseCode("OK"); ok {
		t.Error("names are in lower case")
	}
}

func TestHeaderAndID(t *testing.T) {
	h := wire.Header{{Name: "A", Value: "1"}, {Name: "b", Value: "2"}, {Name: "a", Value: "3"}}
	h = h.Set("a", "4").Set("c", "5")
	if want := (wire.Header{{Name: "A", Value: "4"}, {Name: "b", Value: "2"}, {Name: "c", Value: "5"}}); !reflect.DeepEqual(h, want) {
		t.Errorf("%v", h)
	}
	if h.Get("B") != "2" || h.Get("none") != "" {
		t.Error("Get")
	}
	i := id(7)
	if back, err := wire.ParseID(i.String()); err != nil || back != i || i.IsZero() {
		t.Error(back, err)
	}
	for _, s := range []string{"", "00", strings.Repeat("0", 31), strings.Repeat("g", 32), strings.Repeat("0", 34)} {
		if _, err := wire.ParseID(s); err == nil {
			t.Errorf("%q is taken as an id", s)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	e, buf := goldenVectors()["request"].e, make([]byte, 0, 1024)
	b.ReportAllocs()
	for range b.N {
		buf = wire.Append(buf[:0], e)
	}
}

func BenchmarkDecode(b *testing.B) {
	frame := wire.Append(nil, goldenVectors()["request"].e)
	var e wire.Envelope
	b.ReportAllocs()
	for range b.N {
		_ = wire.Decode(&e, frame)
	}
}
