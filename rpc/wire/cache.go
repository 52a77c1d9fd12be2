package wire

import (
	"hash/maphash"
	"sync/atomic"
)

const (
	// cacheSlots bounds the texts that a Cache keeps, cacheLongest each one's length: 64 × 256 bytes.
	cacheSlots   = 64
	cacheLongest = 256
)

// Cache spares a decoder the copy of fields that it has seen before: most requests of one caller to one function differ only in
// their fixed header and body. It keeps what comes twice in a row at its place, so that fields which differ each time cost a hash
// and nothing else. It may be used concurrently. The zero value is not ready; see NewCache.
type Cache struct {
	seed  maphash.Seed
	slots [cacheSlots]cacheSlot
}

type cacheSlot struct {
	last atomic.Uint64 // the hash of what came here last
	text atomic.Pointer[string]
}

// NewCache returns an empty cache.
func NewCache() *Cache { return &Cache{seed: maphash.MakeSeed()} }

// text is string(b), or an equal string from before.
func (c *Cache) text(b []byte) string {
	if c == nil || len(b) == 0 || len(b) > cacheLongest {
		return string(b)
	}
	h := maphash.Bytes(c.seed, b)
	slot := &c.slots[h%cacheSlots]
	if p := slot.text.Load(); p != nil && *p == string(b) {
		return *p
	}
	s := string(b)
	if slot.last.Swap(h) == h {
		kept := s // of its own, so that only what is kept costs the pointer
		slot.text.Store(&kept)
	}
	return s
}
