package gateway

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
)

// scripted is a connection that sends a text in pieces.
type scripted struct {
	net.Conn
	pieces []string
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; s.pieces[0] == "" {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

// TestGuardFollowsConnection sends random runs of requests, cut at random places: net/http and the guard must agree on where
// each begins, and the guard must see a conflict exactly when the last request has one.
func TestGuardFollowsConnection(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var text strings.Builder
		requests := 1 + rnd.IntN(4)
		var encoded, conflict bool
		for i := range requests {
			body := []string{"", "x", "\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", strings.Repeat("GET / HTTP/1.1\r\n\r\n", 20)}[rnd.IntN(5)]
			eol := []string{"\r\n", "\n"}[rnd.IntN(2)]
			fields := []string{"Host: a", "X-Note: Content-Length: 7", "X-Transfer-Encoding: chunked", "X-Long: " + strings.Repeat("y", rnd.IntN(200))}
			last := i == requests-1
			chunked := last && rnd.IntN(2) == 0
			length := fmt.Sprintf("%s:%s%d", []string{"Content-Length", "content-length"}[rnd.IntN(2)], strings.Repeat(" ", rnd.IntN(3)), len(body))
			switch {
			case chunked:
				encoded, conflict = true, rnd.IntN(2) == 0
				fields = append(fields, "Transfer-Encoding: chunked")
				if conflict {
					fields = append(fields, length)
				}
			case body != "" || rnd.IntN(2) == 0:
				fields = append(fields, length)
			default:
				body = ""
			}
			rnd.Shuffle(len(fields), func(i, j int) { fields[i], fields[j] = fields[j], fields[i] })
			fmt.Fprintf(&text, "POST /%d HTTP/1.1%s%s%s%s", i, eol, strings.Join(fields, eol), eol, eol)
			if chunked {
				text.WriteString("0\r\n\r\n")
			} else {
				text.WriteString(body)
			}
		}
		conn := &scripted{}
		for s := text.String(); s != ""; {
			n := 1 + rnd.IntN(min(len(s), 60))
			conn.pieces, s = append(conn.pieces, s[:n]), s[n:]
		}
		g := &guard{Conn: conn}
		r := bufio.NewReader(g)
		for i := range requests {
			req, err := http.ReadRequest(r)
			if err != nil || req.URL.Path != fmt.Sprintf("/%d", i) {
				t.Fatalf("seed %d: request %d: %v\n%q", seed, i, err, text.String())
			}
			_, _ = io.Copy(io.Discard, req.Body)
		}
		if v := g.verdict.Load(); v&verdictConflict != 0 != conflict || v&verdictEncoded != 0 != encoded {
			t.Fatalf("seed %d: verdict %b, want encoded %v, conflict %v\n%q", seed, v, encoded, conflict, text.String())
		}
	}
}
