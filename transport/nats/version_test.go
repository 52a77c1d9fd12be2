package nats

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/transport"
)

// old is a server that introduces itself as one of that version, and answers a ping.
func old(t *testing.T, version string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = fmt.Fprintf(c, "INFO {\"server_id\":\"x\",\"version\":%q,\"proto\":1,\"headers\":true,\"max_payload\":1048576}\r\n", version)
				for lines := bufio.NewScanner(c); lines.Scan(); {
					if strings.HasPrefix(lines.Text(), "PING") {
						_, _ = fmt.Fprint(c, "PONG\r\n")
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// A server that is too old is refused, in both modes, by an error that says what is needed.
func TestOldServerIsRefused(t *testing.T) {
	for _, scheme := range []string{"nats", "nats+core"} {
		for _, version := range []string{"2.9.25", "2.12.5", "2.12.6-RC.1", ""} {
			_, err := Open(t.Context(), parse(t, scheme+"://"+old(t, version)), transport.Options{})
			if !transport.IsCode(err, transport.CodeUnsupported) || !strings.Contains(err.Error(), "2.12.6") || !strings.Contains(err.Error(), version) {
				t.Errorf("%s, version %q: %v", scheme, version, err)
			}
		}
	}
}
