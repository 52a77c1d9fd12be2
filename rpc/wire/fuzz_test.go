package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
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
	for _, f := range badFrames(tb) {
		if frame := expand(tb, f.Frame); len(frame) < 2048 {
			out = append(out, frame)
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

// checkPack unpacks any bytes and holds the result against what Unpack promises.
func checkPack(frame []byte) error {
	var members [][]byte
	before := bytes.Clone(frame)
	err := wire.Unpack(frame, func(m []byte) { members = append(members, append(m, 1)[:len(m)]) })
	if !bytes.Equal(before, frame) {
		return errors.New("Unpack changed its input, or gave a member room to grow into its neighbour")
	}
	if err != nil {
		de, ok := errors.AsType[*wire.DecodeError](err)
		if !ok || de.Reason == "" || de.Part == "" || de.Offset < 0 || de.Offset > len(frame) || len(members) > 0 {
			return fmt.Errorf("a bad pack gave %#v and %d members", err, len(members))
		}
		return nil
	}
	var e wire.Envelope
	if err := wire.Decode(&e, frame); err != nil || e.Kind != wire.KindReplies && e.Kind != wire.KindRequests || len(members) == 0 {
		return fmt.Errorf("a good pack of %d members is no good frame of its kind: %v, %v", len(members), e.Kind, err)
	}
	again := wire.AppendPack(nil, wire.KindReplies, wire.ID{})
	head := len(again)
	for _, m := range members {
		again = wire.AppendMember(again, m)
	}
	if !bytes.Equal(again[head:], e.Body) {
		return fmt.Errorf("the body %x has members that make %x", e.Body, again[head:])
	}
	return nil
}

func FuzzUnpack(f *testing.F) {
	for _, s := range seeds(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if err := checkPack(frame); err != nil {
			t.Fatal(err)
		}
	})
}

// TestMutatedPacks is to FuzzUnpack what TestMutatedFrames is to FuzzDecode.
func TestMutatedPacks(t *testing.T) {
	v := goldenVectors()
	all := [][]byte{wire.Append(nil, v["replies"].e), wire.Append(nil, v["requests"].e), wire.Append(nil, v["reply"].e)}
	rnd := rand.New(rand.NewPCG(3, 15))
	good := 0
	for i := range 5000 {
		frame := mutate(rnd, bytes.Clone(all[rnd.IntN(len(all))]))
		if err := checkPack(frame); err != nil {
			t.Fatalf("round %d, frame %x: %v", i, frame, err)
		}
		if wire.Unpack(frame, func([]byte) {}) == nil {
			good++
		}
	}
	if good < 100 || good > 4900 {
		t.Fatalf("%d of 5000 packs were good: the mutations test only one side", good)
	}
}

// TestMutatedFrames is a short fuzz that every test run does: good frames with bytes changed, cut, doubled and inserted,
// the allocation of each decode bounded as Decode promises.
func TestMutatedFrames(t *testing.T) {
	all := seeds(t)
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
