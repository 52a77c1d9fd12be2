package wire

import "encoding/binary"

// A frame of KindReplies carries whole reply frames, its members, so that one message answers many calls of one client. Its
// body is, for each member, a length (as in a field) and the member's frame.

// AppendPack begins a frame of KindReplies behind dst and returns the longer slice; AppendMember adds to it.
func AppendPack(dst []byte) []byte {
	return Append(dst, &Envelope{Kind: KindReplies})
}

// AppendMember adds one frame to the pack that dst ends with and returns the longer slice. It does not keep frame.
func AppendMember(dst, frame []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(frame)))
	return append(dst, frame...)
}

// MemberSize is how much AppendMember adds for a frame of n bytes, at most.
func MemberSize(n int) int { return binary.MaxVarintLen32 + n }

// Unpack calls f with each member of the pack b, in order. Members alias b, with no spare capacity, and may be any bytes: f has
// to look whether one is a reply. A frame that is no pack, that holds nothing, or whose lengths don't fit is refused as a whole,
// before any call of f, with a *DecodeError. It allocates nothing for a good pack and never panics.
func Unpack(b []byte, f func(member []byte)) error {
	if err := checkFixed(b); err != nil {
		return err
	}
	if k := Kind(b[1]); k != KindReplies {
		return &DecodeError{ReasonKind, "a " + k.String() + " frame is no pack", 1}
	}
	end, _, err := scan(b)
	if err != nil {
		return err
	}
	first := end + 1
	if first == len(b) {
		return &DecodeError{ReasonShort, "member", first}
	}
	for p := first; p < len(b); {
		_, next, bad := measure(b, p)
		if bad != "" {
			return &DecodeError{bad, "member", p}
		}
		p = next
	}
	for p := first; p < len(b); {
		n, w := binary.Uvarint(b[p:])
		p += w
		next := p + int(n)
		f(b[p:next:next])
		p = next
	}
	return nil
}
