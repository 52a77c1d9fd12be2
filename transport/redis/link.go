package redis

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/streamerson/streamerson/internal/quietconn"
)

// blockTime is how long one blocking read waits in the broker. A read that has to end earlier is woken by CLIENT UNBLOCK;
// the bound is for the case that this fails.
const blockTime = 500 * time.Millisecond

// link is one go-redis client that holds one connection (in a Cluster one for each node), used by one goroutine at a time.
// Never sharing it is what keeps a blocking read from waiting for a pool, and pipelines from being blocked by reads.
type link struct {
	client goredis.UniversalClient

	// id is the connection's CLIENT ID, for CLIENT UNBLOCK; 0 while there is none.
	id atomic.Int64
	// sent counts the bytes written since the connection was made ready or mark was called: 0 after a failure means that
	// the commands never left this process.
	sent atomic.Int64
	// written is signalled when the client begins to read after it wrote: then it has no more use for the commands' bodies.
	written func()

	// The direct path; viaClient turns it off.
	dir         direct
	viaClient   bool
	readTimeout time.Duration

	mu   sync.Mutex
	conn *watchedConn
}

type dialer = func(ctx context.Context, network, addr string) (net.Conn, error)

// dial makes go-redis's Dialer, which does the TLS handshake as well, within the time that dialling may take.
func dial(s *settings) dialer {
	d := &net.Dialer{Timeout: s.dialTimeout, KeepAlive: 15 * time.Second}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, s.dialTimeout)
		defer cancel()
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c = quietconn.New(c)
		if s.tls != nil {
			t := tls.Client(c, s.tls)
			if err := t.HandshakeContext(ctx); err != nil {
				_ = c.Close()
				return nil, err
			}
			c = t
		}
		return c, nil
	}
}

// watched makes what d dials the link's connection.
func (l *link) watched(d dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		w := &watchedConn{Conn: c, link: l}
		l.mu.Lock()
		l.conn = w
		l.mu.Unlock()
		if _, ok := c.(syscall.Conn); ok {
			return checkedConn{w}, nil
		}
		return w, nil
	}
}

// masterOnly is a go-redis hook that watches what a failover client dials for itself. Its Dialer and OnConnect serve its
// connections to the sentinels as well, which come and go at any time.
type masterOnly struct{ l *link }

func (m masterOnly) DialHook(next goredis.DialHook) goredis.DialHook {
	return goredis.DialHook(m.l.watched(dialer(next)))
}

func (masterOnly) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }

func (masterOnly) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

// toSentinel reports whether a new connection is one to a sentinel.
func toSentinel(ctx context.Context, cn *goredis.Conn) bool {
	role, _ := cn.Do(ctx, "role").Slice() // whoever refuses it is none
	return len(role) > 0 && role[0] == "sentinel"
}

// openLink makes the client; it dials at the first command. blocking readers wait blockTime longer for an answer.
func openLink(s *settings, blocking bool) *link {
	readTimeout := s.timeout
	if blocking {
		readTimeout += blockTime
	}
	l := &link{readTimeout: readTimeout, viaClient: s.mode == cluster || s.viaClient}
	onConnect := func(ctx context.Context, cn *goredis.Conn) error {
		if s.mode == sentinel && toSentinel(ctx, cn) {
			return nil
		}
		if blocking {
			id, err := cn.ClientID(ctx).Result()
			if err != nil {
				return err
			}
			l.id.Store(id)
		}
		l.mu.Lock()
		if l.conn != nil {
			l.conn.ready.Store(true)
		}
		l.mu.Unlock()
		return nil
	}
	// One connection, no retries (a retried XADD may be stored twice), no second pool for pipelines, no idle closing, and
	// RESP2: nothing here needs RESP3, whose push messages cost a check per command.
	switch s.mode {
	case single:
		l.client = goredis.NewClient(&goredis.Options{
			Addr: s.addrs[0], DB: s.db, Username: s.username, Password: s.password, ClientName: "streamerson",
			Dialer: l.watched(dial(s)), OnConnect: onConnect, Protocol: 2, DisableIdentity: true, MaxRetries: -1,
			DialerRetries: 1, DialTimeout: s.dialTimeout, ReadTimeout: readTimeout, WriteTimeout: s.timeout,
			PoolSize: 1, MaxActiveConns: 1, PipelinePoolSize: -1, ConnMaxIdleTime: -1, ReadBufferSize: bufferSize, WriteBufferSize: bufferSize,
		})
	case sentinel:
		l.client = goredis.NewFailoverClient(&goredis.FailoverOptions{
			MasterName: s.master, SentinelAddrs: s.addrs, SentinelUsername: s.sentinelUser, SentinelPassword: s.sentinel,
			DB: s.db, Username: s.username, Password: s.password, ClientName: "streamerson",
			Dialer: dial(s), OnConnect: onConnect, Protocol: 2, DisableIdentity: true, MaxRetries: -1,
			DialerRetries: 1, DialTimeout: s.dialTimeout, ReadTimeout: readTimeout, WriteTimeout: s.timeout,
			PoolSize: 1, MaxActiveConns: 1, PipelinePoolSize: -1, ConnMaxIdleTime: -1, ReadBufferSize: bufferSize, WriteBufferSize: bufferSize,
		})
		l.client.AddHook(masterOnly{l})
	case cluster:
		l.client = goredis.NewClusterClient(&goredis.ClusterOptions{
			Addrs: s.addrs, Username: s.username, Password: s.password, ClientName: "streamerson",
			Dialer: l.watched(dial(s)), OnConnect: onConnect, Protocol: 2, DisableIdentity: true, MaxRetries: -1, MaxRedirects: -1,
			DialerRetries: 1, DialTimeout: s.dialTimeout, ReadTimeout: readTimeout, WriteTimeout: s.timeout,
			PoolSize: 1, MaxActiveConns: 1, PipelinePoolSize: -1, ConnMaxIdleTime: -1, ReadBufferSize: bufferSize, WriteBufferSize: bufferSize,
			DisableRoutingPolicies: true,
		})
	}
	return l
}

// bufferSize of each connection and direction: a batch of 60 small requests fits.
const bufferSize = 64 << 10

// mark begins a new account of what is sent.
func (l *link) mark() { l.sent.Store(0) }

// abort closes the connection under the client, so that a call which the broker doesn't answer ends now.
func (l *link) abort() {
	l.mu.Lock()
	c := l.conn
	l.mu.Unlock()
	if c != nil {
		_ = c.Close()
	}
}

func (l *link) close() error { return l.client.Close() }

// watchedConn tells its link what was sent.
type watchedConn struct {
	net.Conn
	link *link
	// ready is set after the handshake: what is written before are no commands of ours.
	ready  atomic.Bool
	dirty  atomic.Bool
	closed atomic.Bool
}

func (c *watchedConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

func (c *watchedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.ready.Load() {
		c.link.sent.Add(int64(n))
		c.dirty.Store(true)
	}
	return n, err
}

// vectored reports whether writeVec is one system call.
func (c *watchedConn) vectored() bool { return quietconn.Vectored(c.Conn) }

// writeVec is Write for several pieces; it empties v.
func (c *watchedConn) writeVec(v *net.Buffers) error {
	n, err := quietconn.WriteBuffers(c.Conn, v)
	if c.ready.Load() {
		c.link.sent.Add(n)
		c.dirty.Store(true)
	}
	return err
}

func (c *watchedConn) Read(p []byte) (int, error) {
	if c.dirty.Load() && c.dirty.Swap(false) && c.link.written != nil {
		c.link.written()
	}
	return c.Conn.Read(p)
}

// checkedConn is a watchedConn without TLS. SyscallConn lets go-redis look, before it uses an idle connection again, whether
// the peer has closed it: then nothing is sent and the outcome is a certain rejection.
type checkedConn struct{ *watchedConn }

func (c checkedConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}
