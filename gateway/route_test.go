package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/rpc"
)

// TestShortcutsAgreeWithTheMux: a request that is matched without the mux goes where the mux would have sent it.
func TestShortcutsAgreeWithTheMux(t *testing.T) {
	var routes []Route
	for _, p := range []string{"GET /", "GET /a", "POST /a", " /a", "GET /a/", "GET /a/b", "GET /a/{x}", "PUT /{x}/b", "GET /c/", "GET /c/{$}", "GET /a.b_c~d-e", "GET /e%20f", "GET /g h", "GET /{rest...}", " /i/../j", "GET /k//l"} {
		method, path, _ := strings.Cut(p, " ")
		r := Route{Method: method, Path: path, Stream: "s"}
		if _, err := newTable(&Config{}, append(routes, r), nil); err != nil {
			t.Logf("left out: %v", err)
			continue
		}
		routes = append(routes, r)
	}
	got := ""
	f := &fakeCaller{answer: func(_ context.Context, req *rpc.Request) (*rpc.Response, error) {
		got = req.Function
		return nil, nil
	}}
	g := newTestGateway(t, f, func(c *Config) { c.Routes = routes })
	table := g.table.Load()
	if len(table.exact) < 3 {
		t.Fatalf("%d shortcuts for %d routes", len(table.exact), len(routes))
	}
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
		for _, path := range []string{"/", "/a", "/a/", "/a/b", "/%61", "/a?b=c", "//a", "/a/../a", "/a/c", "/x/b", "/c/", "/c", "/a.b_c~d-e", "/e%20f", "/e f", "/g%20h", "/j", "/i/../j", "/k//l", "/k/l", "/A", "http://b/a"} {
			r, err := http.NewRequest(method, path, nil)
			if err != nil {
				continue
			}
			r.RequestURI = path
			_, want := table.mux.Handler(r.Clone(t.Context()))
			got = ""
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if w.Code != http.StatusOK { // the mux's own answer
				want = ""
			}
			if got != want || got != "" && r.Pattern != got {
				t.Errorf("%s %s went to %q (r.Pattern is %q), the mux says %q", method, path, got, r.Pattern, want)
			}
		}
	}
}
