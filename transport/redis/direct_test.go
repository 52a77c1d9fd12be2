package redis

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// talk runs cmds on a link whose peer reads want (when not "") and answers, step bytes at a time.
func talk(t *testing.T, want, answer string, step int, cmds ...goredis.Cmder) (done bool, err error) {
	t.Helper()
	near, far := net.Pipe()
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
	big := strings.Repeat("x", bigBody)
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
