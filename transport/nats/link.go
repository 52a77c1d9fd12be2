package nats

import (
	"context"
	"sync"
	"time"
)

// link is what the driver knows of its connection. nats.go tells of a change a little after it happened.
type link struct {
	mu   sync.Mutex
	up   bool
	lost chan struct{} // closed when the connection that is up breaks
	back chan struct{} // closed when one is up again
}

func newLink() *link {
	l := &link{up: true, lost: make(chan struct{}), back: make(chan struct{})}
	close(l.back)
	return l
}

func (l *link) set(up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.up && !up:
		l.back = make(chan struct{})
		close(l.lost)
	case !l.up && up:
		l.lost = make(chan struct{})
		close(l.back)
	}
	l.up = up
}

// current returns the channel that is closed when the connection breaks, and whether there is one.
func (l *link) current() (lost <-chan struct{}, up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost, l.up
}

// await waits until the connection is up, at most d.
func (l *link) await(ctx context.Context, stop <-chan struct{}, d time.Duration) bool {
	l.mu.Lock()
	up, back := l.up, l.back
	l.mu.Unlock()
	if up {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-back:
		return true
	case <-t.C:
	case <-stop:
	case <-ctx.Done():
	}
	return false
}
