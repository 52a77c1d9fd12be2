package parts

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"sync"

	"github.com/streamerson/streamerson/bench/role"
	"github.com/streamerson/streamerson/internal/quietconn"
)

// loadCaller is a load generator for legs where the HTTP client stands for the outside world: kept connections, one write
// and about one read a call, and just enough of HTTP/1.1 to check what comes back. net/http's client costs three times as
// much, on the cores that the legs need; for the same reason the runtime's monitor thread isn't woken, in the legs of all. Where the client is part of what is compared, httpCaller makes the calls.
type loadCaller struct {
	addr  string
	paths targets
	mu    sync.Mutex
	idle  []*loadConn
}

type loadConn struct {
	net.Conn
	r   *bufio.Reader
	out []byte
}

func startHTTPLoad(_ context.Context, spec role.Spec) (*role.Part, error) {
	u, err := url.Parse(spec.URL)
	if err != nil {
		return nil, err
	}
	c := &loadCaller{addr: u.Host, paths: pathsOf(spec)}
	return &role.Part{Caller: c, Close: func(context.Context) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, conn := range c.idle {
			_ = conn.Close()
		}
		return nil
	}}, nil
}

// Call implements Caller.
func (c *loadCaller) Call(_ context.Context, dst, body []byte) ([]byte, error) {
	conn, err := c.get()
	if err != nil {
		return nil, err
	}
	reply, err := conn.post(c.addr, c.paths.of(body), dst, body)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c.mu.Lock()
	c.idle = append(c.idle, conn)
	c.mu.Unlock()
	return reply, nil
}

func (c *loadCaller) get() (*loadConn, error) {
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		conn := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		return conn, nil
	}
	c.mu.Unlock()
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		return nil, err
	}
	quiet := quietconn.New(conn)
	return &loadConn{Conn: quiet, r: bufio.NewReader(quiet)}, nil
}

// post makes one request; after an error the connection is of no more use.
func (c *loadConn) post(host, path string, dst, body []byte) ([]byte, error) {
	c.out = append(c.out[:0], "POST "...)
	c.out = append(append(c.out, path...), " HTTP/1.1\r\nHost: "...)
	c.out = append(c.out, host...)
	c.out = append(c.out, "\r\nContent-Type: application/octet-stream\r\nContent-Length: "...)
	c.out = strconv.AppendInt(c.out, int64(len(body)), 10)
	c.out = append(append(c.out, "\r\n\r\n"...), body...)
	if _, err := c.Write(c.out); err != nil {
		return nil, err
	}
	status, err := c.r.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200 "))
	if !ok {
		err = fmt.Errorf("status %s", bytes.TrimSpace(status[min(len(status), len("HTTP/1.1 ")):]))
	}
	length, headErr := c.head()
	if headErr != nil {
		return nil, errors.Join(err, headErr)
	}
	if err != nil {
		return nil, err
	}
	n := len(dst)
	dst = append(dst, make([]byte, length)...)
	_, err = io.ReadFull(c.r, dst[n:])
	return dst, err
}

// maxLoadBody is far above any body that is sent; a length beyond it is a mistake that must not take the memory.
const maxLoadBody = 64 << 20

// head reads the header fields and returns Content-Length, which every answer of the servers measured here has.
func (c *loadConn) head() (length int, err error) {
	length = -1
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		name, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		switch {
		case !ok && length < 0:
			return 0, errors.New("an answer without Content-Length")
		case !ok:
			return length, nil
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || length < 0 || length > maxLoadBody {
				return 0, fmt.Errorf("a bad Content-Length %q", value)
			}
		}
	}
}
