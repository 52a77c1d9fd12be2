package load

// picker chooses each call's size and kind from its number and the seed alone, so that they don't depend on which goroutine
// made the call, or when.
type picker struct {
	seed           uint64
	size           int
	sizes          []Sizes
	kinds          []Kind
	weight, shares float64
}

func newPicker(l Load) *picker {
	p := &picker{seed: l.Seed, size: max(l.Size, MinSize), sizes: l.Sizes, kinds: l.Kinds}
	for _, s := range l.Sizes {
		p.weight += s.Weight
	}
	for _, k := range l.Kinds {
		p.shares += k.Weight
	}
	return p
}

// largest is the size of the buffer that holds any body.
func (p *picker) largest() int {
	n := p.size
	for _, s := range p.sizes {
		n = max(n, s.Max)
	}
	return max(n, MinKindSize)
}

// body fills b, which has largest bytes, for call n, and returns its part that is the body, and the kind's index.
func (p *picker) body(b []byte, n uint64) (body []byte, kind int) {
	if len(p.sizes) == 0 && len(p.kinds) == 0 {
		b = b[:p.size]
		Fill(b, n)
		return b, 0
	}
	h := mix(p.seed + n)
	size := p.pickSize(h)
	if len(p.kinds) > 0 {
		size = max(size, MinKindSize)
	}
	b = b[:size]
	Fill(b, n)
	if len(p.kinds) > 0 {
		kind = p.pickKind(mix(h + 1))
		demand(b, p.kinds[kind].Work, kind)
	}
	return b, kind
}

func (p *picker) pickSize(h uint64) int {
	if len(p.sizes) == 0 {
		return p.size
	}
	at := unit(h) * p.weight
	for _, s := range p.sizes {
		if at < s.Weight {
			return max(MinSize, s.Min+int(mix(h)%uint64(s.Max-s.Min+1)))
		}
		at -= s.Weight
	}
	return p.sizes[len(p.sizes)-1].Max
}

func (p *picker) pickKind(h uint64) int {
	at := unit(h) * p.shares
	for i, k := range p.kinds {
		if at < k.Weight {
			return i
		}
		at -= k.Weight
	}
	return len(p.kinds) - 1
}

// mix is splitmix64's finalizer: neighbouring numbers give unrelated ones.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// unit is h as a number in [0, 1).
func unit(h uint64) float64 { return float64(h>>11) / (1 << 53) }
