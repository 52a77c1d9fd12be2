package load

import (
	"bytes"
	"encoding/binary"
	"time"
)

const (
	// MinSize is the smallest body in bytes: it begins with the call's number.
	MinSize = 8
	// MinKindSize is the smallest body of a load with kinds: number, work and kind.
	MinKindSize = 16
)

// Fill writes call n's body into b: its number, then bytes that follow from it, so that a reply that belongs to another
// call, or lost its tail, is seen. It costs about 10 ns for 128 bytes. b must have MinSize bytes or more.
func Fill(b []byte, n uint64) {
	binary.LittleEndian.PutUint64(b, n)
	x := n*0x9e3779b97f4a7c15 | 1
	i := MinSize
	for ; i+8 <= len(b); i += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.LittleEndian.PutUint64(b[i:], x)
	}
	for ; i < len(b); i++ {
		b[i] = byte(x >> (8 * (i & 7)))
	}
}

// Same reports whether a reply is what was sent.
func Same(sent, got []byte) bool { return bytes.Equal(sent, got) }

// Number is the call's number in a body that Fill wrote; 0 if it is too short.
func Number(body []byte) uint64 {
	if len(body) < MinSize {
		return 0
	}
	return binary.LittleEndian.Uint64(body)
}

// demand writes over a body's second eight bytes what the callee shall do: microseconds of work, and the kind's index.
func demand(b []byte, work time.Duration, kind int) {
	binary.LittleEndian.PutUint32(b[8:], uint32(work.Microseconds()))
	binary.LittleEndian.PutUint32(b[12:], uint32(kind))
}

// Demand is what a body of a load with kinds asks of the callee: how much CPU time to spend, and which kind it is. Only a
// callee that was told of kinds may read it: in other bodies these bytes mean nothing.
func Demand(body []byte) (work time.Duration, kind int) {
	if len(body) < MinKindSize {
		return 0, 0
	}
	return time.Duration(binary.LittleEndian.Uint32(body[8:])) * time.Microsecond, int(binary.LittleEndian.Uint32(body[12:]))
}
