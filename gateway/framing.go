package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"sync/atomic"
)

// guard watches what a client sends on an HTTP/1 connection for a request with both Content-Length and Transfer-Encoding,
// one proxy's reading of which differs from another's. net/http takes the first away before a handler can see it. The guard
// needs only the headers and the declared lengths to follow the stream: after a chunked request the connection is closed,
// so chunks need no parsing.
type guard struct {
	net.Conn
	fresh   *atomic.Int64 // the connections whose first request has not reached the handler
	arrived atomic.Bool   // this one's has, or it is closed
	idle    atomic.Bool   // it waits for a next request, of which nothing has come

	state guardState
	skip  int64 // bytes of the body that are still to come
	line  [maxWatchedLine]byte
	n     int // of line in use; all of a longer line's beginning
	long  bool

	first  bool // the request line has been read
	length int64

	declared bool // this request has Content-Length
	encoded  bool // this request has Transfer-Encoding
	// verdict is for the handler, which runs in another goroutine than a later read.
	verdict atomic.Uint32
}

type guardState uint8

const (
	guardHeader guardState = iota
	guardBody
	guardDone
)

// maxWatchedLine is how much of a line is looked at: the two names, and a length with some blanks before it.
const maxWatchedLine = 96

// What a guard can have found. Either stays for the connection's life, which ends with the request that it was found in.
const (
	verdictEncoded  = 1 << iota // a Transfer-Encoding
	verdictConflict             // and a Content-Length beside it, or the stream can't be followed
)

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	if n > 0 {
		g.idle.Store(false)
	}
	if g.state != guardDone {
		g.watch(p[:n])
	}
	return n, err
}

// arrive counts the connection as one that is in use.
func (g *guard) arrive() {
	if !g.arrived.Load() && !g.arrived.Swap(true) {
		g.fresh.Add(-1)
	}
}

func (g *guard) Close() error {
	g.arrive()
	return g.Conn.Close()
}

// CloseWrite lets net/http close gently, so that an answer is not lost with the rest of what the client sends.
func (g *guard) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (g *guard) watch(p []byte) {
	for len(p) > 0 {
		switch g.state {
		case guardDone:
			return
		case guardBody:
			k := min(g.skip, int64(len(p)))
			p = p[k:]
			if g.skip -= k; g.skip == 0 {
				g.state = guardHeader
			}
		case guardHeader:
			i := bytes.IndexByte(p, '\n')
			piece := p
			if i >= 0 {
				piece = p[:i]
			}
			if g.n+len(piece) > len(g.line) {
				g.long = true
			}
			g.n += copy(g.line[g.n:], piece)
			if i < 0 {
				return
			}
			p = p[i+1:]
			g.endLine()
			g.n, g.long = 0, false
		}
	}
}

func (g *guard) endLine() {
	line := bytes.TrimSuffix(g.line[:g.n], []byte("\r"))
	switch {
	case len(line) == 0 && !g.first: // net/http takes empty lines before a request
	case len(line) == 0:
		g.endHeader()
	case !g.first:
		g.first = true
		if bytes.HasPrefix(line, []byte("PRI * HTTP/2")) {
			g.verdict.Store(verdictConflict) // for HTTP/1.1 after that
			g.state = guardDone
		}
	default:
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")):
			g.declared = true
			length, err := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			if g.length = length; err != nil || g.long || length < 0 {
				g.length = -1
			}
		case len(name) == len("Transfer-Encoding") && bytes.EqualFold(name, []byte("Transfer-Encoding")):
			g.encoded = true
		}
	}
}

func (g *guard) endHeader() {
	switch {
	case g.encoded && g.declared:
		g.verdict.Store(verdictEncoded | verdictConflict)
		g.state = guardDone
	case g.encoded:
		g.verdict.Store(verdictEncoded)
		g.state = guardDone
	case g.length < 0: // net/http refuses the request, or reads it in a way that is not followed here
		g.verdict.Store(verdictConflict)
		g.state = guardDone
	case g.length > 0:
		g.skip, g.state = g.length, guardBody
	}
	g.first, g.declared, g.encoded, g.length = false, false, false, 0
}

// tlsGuard is a guard inside TLS. net/http asks it for the state that it puts into Request.TLS.
type tlsGuard struct {
	guard
	tls *tls.Conn
}

func (g *tlsGuard) ConnectionState() tls.ConnectionState { return g.tls.ConnectionState() }

type guardKey struct{}

func guardOf(ctx context.Context) *guard {
	g, _ := ctx.Value(guardKey{}).(*guard)
	return g
}

// asGuard returns the guard of a connection, nil for HTTP/2.
func asGuard(c net.Conn) *guard {
	switch c := c.(type) {
	case *guard:
		return c
	case *tlsGuard:
		return &c.guard
	}
	return nil
}

// withGuard is a server's ConnContext.
func withGuard(ctx context.Context, c net.Conn) context.Context {
	if g := asGuard(c); g != nil {
		return context.WithValue(ctx, guardKey{}, g)
	}
	return ctx
}

// framingConflict reports whether the request is one that two readers could end at different places.
func (x *exchange) framingConflict() bool {
	chunked := len(x.r.TransferEncoding) > 0
	if x.r.ProtoMajor != 1 || !chunked && x.r.ProtoMinor > 0 {
		return false
	}
	g := guardOf(x.r.Context())
	if g == nil {
		return false
	}
	v := g.verdict.Load()
	if chunked {
		return v&verdictConflict != 0
	}
	return v&verdictEncoded != 0 // net/http ignores Transfer-Encoding with HTTP/1.0; a proxy may not
}
