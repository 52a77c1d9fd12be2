package kafka

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

// newestVersions caps what the client library would speak: its newer forms of these requests differ from what brokers expect,
// or need fields that it can't set. In Heartbeat and LeaveGroup it has the error code and the throttle time of the answer, which
// came with version 1, the wrong way round: it would read every refusal as "fine".
var newestVersions = map[protocol.ApiKey]int16{
	protocol.JoinGroup: 4, protocol.SyncGroup: 2, protocol.Heartbeat: 0, protocol.LeaveGroup: 0, protocol.OffsetCommit: 6,
	protocol.CreateTopics: 4, protocol.DescribeGroups: 4,
}

// idleTimeout is how long an unused connection is kept: less than a broker's connections.max.idle.ms (10 min).
const idleTimeout = time.Minute

// surplusTimeout is how long an unused connection is kept beside another to the same broker: those that a rebalance of many
// streams needed go soon.
const surplusTimeout = 3 * time.Second

// shortAtOnce bounds how many requests that a broker answers at once are under way to it; the others wait for their turn. Fetches
// and joins, which a broker holds back, aren't counted: fetches have a bound of their own, and joins wait for other processes.
const shortAtOnce = 3

// readBuffer is what a connection reads at once.
const readBuffer = 32 << 10

// link is one connection; it carries one request at a time.
type link struct {
	addr string
	tcp  net.Conn
	conn buffered // tcp, or TLS over it
	pc   *protocol.Conn
	keys []apiversions.ApiKeyResponse
	used time.Time

	// Of the requests that are written here: see codec.go.
	serial  uint32
	out, in []byte
	arena   arena
}

// buffered is a connection whose reads are buffered for the client library and for codec.go alike.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// links is the one pool of connections that all of a driver shares. The client library's own Transport is not used: it routes
// by metadata that is up to 6 s old, and doesn't tell a request that was never sent from one that may have been.
type links struct {
	set *settings

	mu     sync.Mutex
	idle   map[string][]*link
	busy   map[*link]bool
	short  map[string]chan struct{} // the requests under way, by address
	closed bool
}

var errClosed = errors.New("the driver is closed")

// roundTrip sends req to addr and waits for the answer, at most limit.
func (ls *links) roundTrip(ctx context.Context, addr string, limit time.Duration, req protocol.Message) (res protocol.Message, err error) {
	talk := func(l *link) (err error) {
		res, err = l.pc.RoundTrip(req)
		return err
	}
	switch req.ApiKey() {
	case protocol.JoinGroup, protocol.SyncGroup:
		_, err = ls.talk(ctx, addr, limit, talk)
	default:
		_, err = ls.talkShort(ctx, addr, limit, talk)
	}
	return res, err
}

// talkShort is talk for requests that are answered at once. limit includes the wait for its turn.
func (ls *links) talkShort(ctx context.Context, addr string, limit time.Duration, do func(*link) error) (sent bool, err error) {
	ls.mu.Lock()
	turn := ls.short[addr]
	if turn == nil {
		turn = make(chan struct{}, shortAtOnce)
		ls.short[addr] = turn
	}
	ls.mu.Unlock()
	select {
	case turn <- struct{}{}:
	default:
		start := time.Now()
		late := time.NewTimer(limit)
		defer late.Stop()
		select {
		case turn <- struct{}{}:
			limit -= time.Since(start)
		case <-ctx.Done():
			return false, ctx.Err()
		case <-late.C:
			return false, os.ErrDeadlineExceeded
		}
	}
	defer func() { <-turn }()
	return ls.talk(ctx, addr, limit, do)
}

// talk lends do a connection, for one request and its answer, and ends it after limit or with ctx. sent tells, of an error, whether
// the request may have reached the broker.
func (ls *links) talk(ctx context.Context, addr string, limit time.Duration, do func(*link) error) (sent bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	l, err := ls.get(ctx, addr)
	if err != nil {
		return false, ended(ctx, err)
	}
	_ = l.tcp.SetDeadline(time.Now().Add(limit))
	stopped := true
	if ctx.Done() == nil {
		err = do(l)
	} else {
		stop := context.AfterFunc(ctx, func() { _ = l.tcp.SetDeadline(time.Unix(1, 0)) })
		err = do(l)
		stopped = stop()
	}
	if err != nil || !stopped {
		ls.drop(l)
		err = ended(ctx, err)
		if errors.Is(err, io.EOF) {
			err = errors.New("the broker closed the connection")
		}
		return true, err
	}
	ls.put(l)
	return true, nil
}

// ended is err, or the context's own error if that has ended: a deadline's timer may fire a little before the context's.
func ended(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
		return context.DeadlineExceeded
	}
	return err
}

func (ls *links) get(ctx context.Context, addr string) (*link, error) {
	for {
		ls.mu.Lock()
		if ls.closed {
			ls.mu.Unlock()
			return nil, errClosed
		}
		n := len(ls.idle[addr])
		if n == 0 {
			ls.mu.Unlock()
			return ls.dial(ctx, addr)
		}
		l := ls.idle[addr][n-1]
		ls.idle[addr] = ls.idle[addr][:n-1]
		ls.busy[l] = true
		ls.mu.Unlock()
		// A connection that the broker has closed would make the outcome of what is sent on it unknown.
		if time.Since(l.used) < idleTimeout && !peerGone(l.tcp) {
			return l, nil
		}
		ls.drop(l)
	}
}

func (ls *links) put(l *link) {
	l.used = time.Now()
	ls.mu.Lock()
	delete(ls.busy, l)
	if ls.closed {
		ls.mu.Unlock()
		_ = l.pc.Close()
		return
	}
	ls.idle[l.addr] = append(ls.idle[l.addr], l)
	ls.mu.Unlock()
}

func (ls *links) drop(l *link) {
	ls.mu.Lock()
	delete(ls.busy, l)
	ls.mu.Unlock()
	_ = l.pc.Close()
}

// sweep closes what was idle for long; the last of a broker's is kept longer.
func (ls *links) sweep() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for addr, idle := range ls.idle {
		kept := idle[:0]
		for i, l := range idle { // the last was used last
			if d := time.Since(l.used); d < surplusTimeout || d < idleTimeout && i == len(idle)-1 {
				kept = append(kept, l)
			} else {
				_ = l.pc.Close()
			}
		}
		clear(idle[len(kept):])
		ls.idle[addr] = kept
	}
}

// close ends all connections, those in use as well.
func (ls *links) close() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.closed = true
	for _, idle := range ls.idle {
		for _, l := range idle {
			_ = l.pc.Close()
		}
	}
	clear(ls.idle)
	for l := range ls.busy {
		_ = l.pc.Close()
	}
}

func (ls *links) dial(ctx context.Context, addr string) (_ *link, err error) {
	ctx, cancel := context.WithTimeout(ctx, ls.set.dialTimeout)
	defer cancel()
	to := addr
	if ls.set.via != "" {
		to = ls.set.via
	}
	tcp, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = tcp.Close()
		}
	}()
	deadline, _ := ctx.Deadline()
	_ = tcp.SetDeadline(deadline)
	defer context.AfterFunc(ctx, func() { _ = tcp.SetDeadline(time.Unix(1, 0)) })()
	nc := tcp
	if ls.set.tls != nil {
		c := ls.set.tls.Clone()
		if c.ServerName == "" {
			c.ServerName, _, _ = net.SplitHostPort(addr)
		}
		t := tls.Client(tcp, c)
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		nc = t
	}
	l := &link{addr: addr, tcp: tcp, conn: buffered{nc, bufio.NewReaderSize(nc, readBuffer)}}
	l.pc = protocol.NewConn(l.conn, clientID)
	res, err := l.pc.RoundTrip(&apiversions.Request{})
	if err != nil {
		return nil, err
	}
	l.keys = res.(*apiversions.Response).ApiKeys
	versions := map[protocol.ApiKey]int16{}
	for _, k := range l.keys {
		key := protocol.ApiKey(k.ApiKey)
		highest := k.MaxVersion
		if c, ok := newestVersions[key]; ok {
			highest = min(highest, c)
		}
		versions[key] = key.SelectVersion(k.MinVersion, highest)
	}
	l.pc.SetVersions(versions)
	if ls.set.sasl != nil {
		if err := l.authenticate(ctx, ls.set.sasl); err != nil {
			return nil, err
		}
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.closed {
		return nil, errClosed
	}
	ls.busy[l] = true
	return l, nil
}

func (l *link) authenticate(ctx context.Context, m sasl.Mechanism) error {
	res, err := l.pc.RoundTrip(&saslhandshake.Request{Mechanism: m.Name()})
	if err != nil {
		return err
	}
	if err := kafkaError(res.(*saslhandshake.Response).ErrorCode); err != nil {
		return err
	}
	host, _, _ := net.SplitHostPort(l.addr)
	session, out, err := m.Start(sasl.WithMetadata(ctx, &sasl.Metadata{Host: host}))
	for done := false; err == nil && !done; {
		var res protocol.Message
		if res, err = l.pc.RoundTrip(&saslauthenticate.Request{AuthBytes: out}); err != nil {
			return err
		}
		r := res.(*saslauthenticate.Response)
		if err = kafkaError(r.ErrorCode); err == nil {
			done, out, err = session.Next(ctx, r.AuthBytes)
		}
	}
	return err
}
