package mem

// Bodies of a batch are copied into shared blocks; a body that stays in use keeps its block, so blocks are small.
const arenaBlock = 32 << 10

// arena copies byte slices into few allocations.
type arena struct {
	buf  []byte
	left int // bytes that are still to come
}

func newArena(size int) arena { return arena{left: size} }

// clone returns a copy that may be appended to without touching its neighbours.
func (a *arena) clone(b []byte) []byte {
	if len(b) == 0 {
		return []byte{}
	}
	if cap(a.buf)-len(a.buf) < len(b) {
		a.buf = make([]byte, 0, max(len(b), min(a.left, arenaBlock)))
	}
	a.left -= len(b)
	i := len(a.buf)
	a.buf = append(a.buf, b...)
	return a.buf[i:len(a.buf):len(a.buf)]
}
