package wire_test

import (
	"runtime"
	"testing"

	"github.com/streamerson/streamerson/rpc/wire"
)

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
	members := 0
	packed := wire.Append(nil, goldenVectors()["replies"].e)
	check("pack", 0, func() { buf = wire.AppendMember(wire.AppendPack(buf[:0], wire.KindReplies, wire.ID{}), frame) })
	check("unpack", 0, func() { _ = wire.Unpack(packed, func([]byte) { members++ }) })
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
