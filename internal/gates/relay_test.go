//go:build !race

package gates

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
)

// relay passes connections on to a Kafka and counts the requests in them, by their API key: the broker's own count can be
// had by JMX only. A request is a length of four bytes, the API key in two, and the rest.
type relay struct {
	target string
	ln     net.Listener

	mu    sync.Mutex
	seen  use
	conns map[net.Conn]bool
	wait  sync.WaitGroup
}

func startRelay(t *testing.T, target string) *relay {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{target: target, ln: ln, seen: use{ops: map[string]float64{}}, conns: map[net.Conn]bool{}}
	r.wait.Go(r.accept)
	t.Cleanup(r.close)
	return r
}

func (r *relay) addr() string { return r.ln.Addr().String() }

func (r *relay) accept() {
	for {
		client, err := r.ln.Accept()
		if err != nil {
			return
		}
		broker, err := net.Dial("tcp", r.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		r.mu.Lock()
		r.conns[client], r.conns[broker] = true, true
		r.mu.Unlock()
		r.wait.Go(func() { r.requests(broker, client); r.drop(client, broker) })
		r.wait.Go(func() { r.answers(client, broker); r.drop(client, broker) })
	}
}

// drop ends both sides: each direction calls it once.
func (r *relay) drop(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		delete(r.conns, c)
		_ = c.Close()
	}
}

func (r *relay) close() {
	_ = r.ln.Close()
	r.mu.Lock()
	for c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.wait.Wait()
}

func (r *relay) requests(to io.Writer, from io.Reader) {
	head := make([]byte, 6)
	for {
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		size, key := int64(binary.BigEndian.Uint32(head)), binary.BigEndian.Uint16(head[4:])
		r.mu.Lock()
		r.seen.ops[apiName(key)]++
		r.seen.in += float64(size + 4)
		r.mu.Unlock()
		if _, err := to.Write(head); err != nil {
			return
		}
		if _, err := io.CopyN(to, from, size-2); err != nil {
			return
		}
	}
}

func (r *relay) answers(to io.Writer, from io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		r.mu.Lock()
		r.seen.out += float64(n)
		r.mu.Unlock()
		if _, werr := to.Write(buf[:n]); errors.Join(err, werr) != nil {
			return
		}
	}
}

func (r *relay) use() use {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := use{ops: map[string]float64{}, in: r.seen.in, out: r.seen.out}
	for k, n := range r.seen.ops {
		u.ops[k] = n
	}
	return u
}

// apiName is a request's name in Kafka's protocol, for those that a call can cause.
func apiName(key uint16) string {
	switch key {
	case 0:
		return "Produce"
	case 1:
		return "Fetch"
	case 8:
		return "OffsetCommit"
	}
	return "api " + strconv.Itoa(int(key))
}
