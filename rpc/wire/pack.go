package wire

import "encoding/binary"

// A frame of KindReplies or KindRequests carries whole frames, its members: one message answers many calls of one client, or makes
// them. Its body is, for each member, a length (as in a field) and the member's frame.

// AppendPack begins a pack of kind k behind dst and returns the longer slice; AppendMember adds to it. id is zero in a pack of
// replies.
func AppendPack(dst []byte, k Kind, id ID) []byte {
	return Append(dst, &Envelope{Kind: k, ID: id})
}

// Members are the members of a pack that AppendPack made and AppendMember filled, as they stand in it. They alias pack.
func Members(pack []byte) []byte { return pack[packHead:] }

// SetBudget changes the budget in the frame b, which must be a good one, to ms milliseconds.
func SetBudget(b []byte, ms uint32) { binary.BigEndian.PutUint32(b[32:], ms) }

// SetAttempt changes the attempt in the frame b, which must be a good one.
func SetAttempt(b []byte, n uint16) { binary.BigEndian.PutUint16(b[6:], n) }

// Attempt is the attempt in the frame b, 0 if that is too short.
func Attempt(b []byte) int {
	if len(b) < fixedLen {
		return 0
	}
	return int(binary.BigEndian.Uint16(b[6:]))
}

// packHead is the length of a pack without members, as AppendPack makes it: the fixed part and the tag of the body.
const packHead = fixedLen + 1

// AppendMember adds one frame to the pack that dst ends with and returns the longer slice. It does not keep frame.
func AppendMember(dst, frame []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(frame)))
	return append(dst, frame...)
}

// MemberSize is how much AppendMember adds for a frame of n bytes, at most.
func MemberSize(n int) int { return binary.MaxVarintLen32 + n }

// Unpack calls f with each member of the pack b, in order. Members alias b, with no spare capacity, and may be any bytes: f has
// to look whether one is what it takes. A frame that is no pack, that holds nothing, or whose lengths don't fit is refused as a whole,
// before any call of f, with a *DecodeError. It allocates nothing for a good pack and never panics.
func Unpack(b []byte, f func(member []byte)) error {
	if err := checkFixed(b); err != nil {
		return err
	}
	if k := Kind(b[1]); k != KindReplies && k != KindRequests {
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
