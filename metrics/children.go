package metrics

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// key is what a set of children is cached by; function is "" for what has only a stream.
type key struct{ stream, function string }

// children caches the metrics of each label pair, so that a call looks up one small map without a lock instead of hashing
// labels in each metric. It holds at most max pairs: what comes later shares one child for all, so that names invented by a
// caller can't fill the memory. A pair that has its child keeps it.
type children[C any] struct {
	max   int
	build func(key) C

	current atomic.Pointer[map[key]C]
	full    atomic.Pointer[C] // the shared child, once it was needed
	mu      sync.Mutex        // taken to add
}

func newChildren[C any](maximum int, build func(key) C) *children[C] {
	c := &children[C]{max: maximum, build: build}
	c.current.Store(&map[key]C{})
	return c
}

func (c *children[C]) get(stream, function string) C {
	k := key{stream, function}
	if child, ok := (*c.current.Load())[k]; ok {
		return child
	}
	if child := c.full.Load(); child != nil {
		return *child
	}
	return c.add(k)
}

func (c *children[C]) add(k key) C {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := *c.current.Load()
	if child, ok := old[k]; ok {
		return child
	}
	if len(old) >= c.max {
		if child := c.full.Load(); child != nil {
			return *child
		}
		rest := key{stream: other}
		if k.function != "" {
			rest.function = other
		}
		child := c.build(rest)
		c.full.Store(&child)
		return child
	}
	// Copied at each addition: there are few, and readers then need no lock. The strings are copied too, because a caller's
	// may be a part of a whole frame.
	k = key{stream: strings.Clone(k.stream), function: strings.Clone(k.function)}
	child := c.build(k)
	next := make(map[key]C, len(old)+1)
	maps.Copy(next, old)
	next[k] = child
	c.current.Store(&next)
	return child
}

// lazy is a metric that is made when it is first needed, so that a code which never occurs has no series.
type lazy[M any] struct{ p atomic.Pointer[M] }

func (l *lazy[M]) get(build func() M) M {
	if m := l.p.Load(); m != nil {
		return *m
	}
	m := build() // the vector gives the same one to whoever comes at once
	l.p.Store(&m)
	return m
}
