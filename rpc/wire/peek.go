package wire

// Peek reads what routing needs, without decoding the rest: ok is false when b is no frame of this version.
func Peek(b []byte) (k Kind, id ID, ok bool) {
	if len(b) < fixedLen || b[0] != Version {
		return 0, id, false
	}
	copy(id[:], b[8:24])
	k = Kind(b[1])
	return k, id, k > 0 && k < kindCount
}
