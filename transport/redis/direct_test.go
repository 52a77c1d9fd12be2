package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/transport"
)

// talk runs cmds on a link whose peer reads want (when not "") and answers, step bytes at a time.
func talk(t *testing.T, want, answer string, step int, cmds ...goredis.Cmder) (done bool, err error) {
	t.Helper()
	near, far := net.Pipe()
	return talkOver(t, near, far, want, answer, step, cmds...)
}

// tcpPair is a connection of the kind that takes many pieces with one system call.
func tcpPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	if near, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

func talkOver(t *testing.T, near, far net.Conn, want, answer string, step int, cmds ...goredis.Cmder) (done bool, err error) {
	t.Helper()
	l := &link{readTimeout: 5 * time.Second}
	l.conn = &watchedConn{Conn: near, link: l}
	l.conn.ready.Store(true)
	l.dir.used = time.Now()
	served := make(chan string, 1)
	go func() {
		defer func() { _ = far.Close() }()
		got := make([]byte, len(want))
		_, _ = io.ReadFull(far, got)
		served <- string(got)
		for b := []byte(answer); len(b) > 0; {
			n := min(step, len(b))
			if _, err := far.Write(b[:n]); err != nil {
				return
			}
			b = b[n:]
		}
	}()
	done, err = l.direct(cmds)
	if got := <-served; got != want {
		t.Errorf("sent %q\nwant %q", got, want)
	}
	_ = near.Close()
	return done, err
}

func TestDirectCommandsAndReplies(t *testing.T) {
	big := strings.Repeat("x", longBodyTLS)
	key := "streamerson:{s}"
	want := "*6\r\n$4\r\nxadd\r\n$15\r\nstreamerson:{s}\r\n$10\r\nnomkstream\r\n$1\r\n*\r\n$1\r\nb\r\n$5\r\nhello\r\n" +
		"*8\r\n$4\r\nxadd\r\n$4\r\nlane\r\n$10\r\nnomkstream\r\n$6\r\nmaxlen\r\n$2\r\n12\r\n$1\r\n*\r\n$1\r\nb\r\n$16384\r\n" + big + "\r\n" +
		"*4\r\n$4\r\nxack\r\n$15\r\nstreamerson:{s}\r\n$1\r\ng\r\n$3\r\n1-1\r\n"
	for _, step := range []int{1, 3, 1 << 20} {
		add, lane, ack := newStreamAdd(key, []byte("hello")), newLaneAdd("lane", 12, []byte(big)), xack(key, "g", []string{"1-1"})
		done, err := talk(t, want, "$15\r\n1700000000000-0\r\n$-1\r\n:1\r\n", step, add, lane, ack)
		if !done || err != nil {
			t.Fatalf("step %d: %v %v", step, done, err)
		}
		if !add.stored() || lane.stored() || !errors.Is(lane.Err(), goredis.Nil) || ack.Val() != 1 {
			t.Errorf("step %d: %v %v %v", step, add.stored(), lane.Err(), ack.Val())
		}
	}
}

// Bodies about as long as what is written from where it is, in pieces and in one, go out in order and whole; more of them than one
// system call takes as well.
func TestDirectWritesLongBodies(t *testing.T) {
	for _, n := range []int{1, 3, 1500} {
		for _, tcp := range []bool{false, true} {
			var want, answer strings.Builder
			var cmds []goredis.Cmder
			for i := range n {
				size := []int{longBody - 1, longBody, longBodyTLS + 1}[i%3]
				body := strings.Repeat(string(rune('a'+i%26)), size)
				fmt.Fprintf(&want, "*6\r\n$4\r\nxadd\r\n$1\r\nk\r\n$10\r\nnomkstream\r\n$1\r\n*\r\n$1\r\nb\r\n$%d\r\n%s\r\n", size, body)
				answer.WriteString("$15\r\n1700000000000-0\r\n")
				cmds = append(cmds, newStreamAdd("k", []byte(body)))
			}
			near, far := net.Pipe()
			if tcp {
				near, far = tcpPair(t)
				if want.Len() >= widenFrom { // what it answers is of no interest
					want.Write(widenCommand())
					answer.WriteString("-NOPERM this user has no permissions\r\n")
				}
			}
			if done, err := talkOver(t, near, far, want.String(), answer.String(), 1<<20, cmds...); !done || err != nil {
				t.Fatalf("%d commands, tcp %v: %v %v", n, tcp, done, err)
			}
		}
	}
}

// Long pipelines make Redis read much at once, the first of them and then one a second; short ones have no need of it.
func TestLongPipelinesWidenTheBrokersBuffer(t *testing.T) {
	near, far := tcpPair(t)
	defer func() { _, _ = near.Close(), far.Close() }()
	conn := &watchedConn{Conn: near}
	d := &direct{}
	now := time.Now()
	for _, tc := range []struct {
		after  time.Duration
		out    int
		body   int
		widens bool
	}{
		{0, 100, 0, false},
		{0, 100, widenFrom, true},
		{widenEvery / 2, widenFrom, 0, false},
		{widenEvery, 100, 100, false},
		{widenEvery, widenFrom, 0, true},
		{2*widenEvery - 1, widenFrom, 0, false},
	} {
		d.out, d.segs = make([]byte, tc.out), []segment{{10, make([]byte, tc.body)}}
		d.widen(conn, now.Add(tc.after))
		if d.extra != tc.widens || (len(d.segs) == 2) != tc.widens {
			t.Errorf("after %v, %d and %d bytes: %v", tc.after, tc.out, tc.body, d.extra)
		}
	}
	conn.Conn, _ = net.Pipe() // such as TLS
	d.segs = nil
	d.widen(conn, now.Add(time.Hour))
	if d.extra || len(d.segs) > 0 {
		t.Error("a connection that takes one piece at a time")
	}
}

// What a pipeline of long bodies allocates doesn't grow with them: a copy of a batch of 256 would be a megabyte.
func TestLongBodiesAreNotCopied(t *testing.T) {
	d, _ := open(t)
	s := name(t)
	ensure(t, d, s)
	const n, size, runs = 256, 4 << 10, 8
	m, res := make([]transport.Message, n), make([]transport.Result, n)
	for i := range m {
		m[i] = transport.Message{Stream: s, Body: make([]byte, size)}
	}
	publish := func() {
		clear(res)
		d.Publish(t.Context(), m, res)
		for i := range res {
			if res[i].Err != nil {
				t.Fatal(res[i].Err)
			}
		}
	}
	publish()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		publish()
	}
	runtime.ReadMemStats(&after)
	if got := (after.TotalAlloc - before.TotalAlloc) / (n * runs); got > size/4 {
		t.Errorf("%d bytes are allocated to publish one of %d", got, size)
	}
}

func TestDirectReadsNestedReplies(t *testing.T) {
	body := strings.Repeat("b", 3*bufferSize) // more than the buffer begins with
	answer := "*1\r\n*2\r\n$1\r\nk\r\n*2\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nb\r\n$2\r\n\r\n\r\n*2\r\n$3\r\n1-2\r\n*2\r\n$1\r\nb\r\n$196608\r\n" + body + "\r\n"
	for _, step := range []int{7, 1 << 20} {
		cmd := goredis.NewRawCmd(context.Background(), "xread")
		if done, err := talk(t, "*1\r\n$5\r\nxread\r\n", answer, step, cmd); !done || err != nil {
			t.Fatalf("step %d: %v %v", step, done, err)
		}
		if string(cmd.Val()) != answer {
			t.Fatalf("step %d: got %d bytes of %d", step, len(cmd.Val()), len(answer))
		}
		entries, err := parseStreams(cmd.Val(), func([]byte) int { return 0 }, nil)
		if err != nil || len(entries) != 2 || string(entries[0].body) != "\r\n" || !bytes.Equal(entries[1].body, []byte(body)) {
			t.Fatalf("step %d: %d entries, %v", step, len(entries), err)
		}
	}
}

func TestDirectKeepsWhatWasAnsweredBeforeTheConnectionBroke(t *testing.T) {
	for name, rest := range map[string]string{"cut": "$15\r\n17", "nonsense": "hello\r\n", "an empty line": "\r\n"} {
		first, refused, lost := newStreamAdd("k", nil), newStreamAdd("k", nil), newStreamAdd("k", nil)
		one := "*6\r\n$4\r\nxadd\r\n$1\r\nk\r\n$10\r\nnomkstream\r\n$1\r\n*\r\n$1\r\nb\r\n$0\r\n\r\n"
		done, err := talk(t, one+one+one, "$3\r\n1-1\r\n-OOM command not allowed\r\n"+rest, 4, first, refused, lost)
		if !done || err == nil {
			t.Fatalf("%s: %v %v", name, done, err)
		}
		if !first.stored() || !isServerError(refused.Err()) || lost.Err() == nil || lost.stored() || isServerError(lost.Err()) {
			t.Errorf("%s: %v, %v, %v", name, first.Err(), refused.Err(), lost.Err())
		}
	}
}

func TestDirectRefusesBytesNobodyAskedFor(t *testing.T) {
	add := newStreamAdd("k", nil)
	if _, err := talk(t, "*6\r\n$4\r\nxadd\r\n$1\r\nk\r\n$10\r\nnomkstream\r\n$1\r\n*\r\n$1\r\nb\r\n$0\r\n\r\n", "$3\r\n1-1\r\n:1\r\n", 64, add); err == nil {
		t.Error("a second reply to one command was accepted")
	}
}

func TestDirectLeavesTheRestToGoRedis(t *testing.T) {
	for _, c := range []goredis.Cmder{
		goredis.NewStatusCmd(context.Background(), "ping"),
		goredis.NewIntCmd(context.Background(), "xack", "k", "g", 1.5),
	} {
		if done, _ := talk(t, "", "", 1, c); done {
			t.Errorf("%v went by the direct path", c.Args())
		}
	}
}
