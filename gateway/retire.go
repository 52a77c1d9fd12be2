package gateway

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"
)

// retireWait bounds how long a shutdown waits for its idle connections to end by themselves: they do so at once.
const retireWait = 250 * time.Millisecond

// guards are the HTTP/1 connections that are open.
type guards struct {
	mu   sync.Mutex
	open map[*guard]struct{}
}

// state is a server's ConnState.
func (s *guards) state(c net.Conn, state http.ConnState) {
	g := asGuard(c)
	if g == nil {
		return
	}
	switch state {
	case http.StateIdle:
		g.idle.Store(true)
	case http.StateNew:
		s.mu.Lock()
		if s.open == nil {
			s.open = map[*guard]struct{}{}
		}
		s.open[g] = struct{}{}
		s.mu.Unlock()
	case http.StateClosed, http.StateHijacked:
		s.mu.Lock()
		delete(s.open, g)
		s.mu.Unlock()
	}
}

func (s *guards) idle() []*guard {
	s.mu.Lock()
	defer s.mu.Unlock()
	var idle []*guard
	for g := range s.open {
		if g.idle.Load() {
			idle = append(idle, g)
		}
	}
	return idle
}

// retire ends the idle connections, but not one that a request has reached: net/http's own shutdown closes those with it,
// unread. After the reading half is closed the system still hands out what has arrived, and only then says that there is
// no more; so a request is answered and silence ends the connection, whichever the client chose.
func (s *guards) retire(ctx context.Context) {
	for _, g := range s.idle() {
		g.closeRead()
	}
	for end := time.Now().Add(retireWait); len(s.idle()) > 0 && ctx.Err() == nil && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
}

func (g *guard) closeRead() {
	c := g.Conn
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if c, ok := c.(interface{ CloseRead() error }); ok {
		_ = c.CloseRead() // it is closed already
	}
}
