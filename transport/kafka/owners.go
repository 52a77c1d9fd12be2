package kafka

import (
	"sync"
	"time"
)

// ownersTTL is how long it is believed who serves a stream. Whoever calls asks five times a second; a partition whose owner has
// changed since is as good as any other.
const ownersTTL = 2 * time.Second

// owners knows which partitions each process serves that has joined a stream's group, as Lag saw it last. A Publish needs no more
// partitions than there are processes, and each costs the broker about as much as ten messages.
type owners struct {
	mu sync.RWMutex
	by map[string]ownership
}

type ownership struct {
	shares [][]int32
	at     time.Time
}

// of is nil when it isn't known. The slices are not to be changed.
func (o *owners) of(topic string) [][]int32 {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if x := o.by[topic]; len(x.shares) > 0 && time.Since(x.at) < ownersTTL {
		return x.shares
	}
	return nil
}

// set keeps what a group's coordinator told. Of a stream with several groups the one with the most members counts.
func (o *owners) set(topic string, shares [][]int32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.by == nil {
		o.by = map[string]ownership{}
	}
	for t, x := range o.by {
		if time.Since(x.at) > ownersTTL {
			delete(o.by, t)
		}
	}
	if len(o.by[topic].shares) <= len(shares) {
		o.by[topic] = ownership{shares, time.Now()}
	}
}
