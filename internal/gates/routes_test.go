//go:build !race

package gates

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"github.com/streamerson/streamerson/gateway"
	"github.com/streamerson/streamerson/rpc"
)

// echo answers at once, so that what is counted is the gateway.
type echo struct{ resp rpc.Response }

func (e *echo) Call(context.Context, *rpc.Request) (*rpc.Response, error) { return &e.resp, nil }
func (e *echo) Send(context.Context, *rpc.Request) error                  { return nil }
func (e *echo) Ready() error                                              { return nil }
func (e *echo) Watch(string)                                              {}

// TestGateIdleRoutesAreFree: a request takes exactly as much memory with 10,000 routes as with one. (Its time, which goes by
// the depth of the mux's tree, is the benchmark's.)
func TestGateIdleRoutesAreFree(t *testing.T) {
	one := routeCost(t, 1)
	many := routeCost(t, 10_000)
	t.Logf("1 route: %.1f allocations, %.0f bytes; 10,000: %.1f, %.0f", one.objects, one.size, many.objects, many.size)
	if many.objects > one.objects+0.1 || many.size > one.size*1.02 {
		t.Errorf("10,000 routes make a request take %.1f allocations of %.0f bytes, want %.1f of %.0f as with one", many.objects, many.size, one.objects, one.size)
	}
}

type heapUse struct{ objects, size float64 }

func routeCost(t *testing.T, n int) heapUse {
	t.Helper()
	routes := make([]gateway.Route, n)
	for i := range routes {
		routes[i] = gateway.Route{Method: http.MethodPost, Path: "/r" + strconv.Itoa(100_000+i) + "/{id}", Stream: "s", Function: "f"}
	}
	body := bytes.Repeat([]byte("x"), bodySize)
	g, err := gateway.New(&echo{rpc.Response{Body: body}}, gateway.Config{Routes: routes})
	if err != nil {
		t.Fatal(err)
	}
	target := "/r" + strconv.Itoa(100_000+n-1) + "/7"
	const requests = 2_000
	serve := func() {
		for range requests {
			r := httptest.NewRequest(http.MethodPost, target, io.NopCloser(bytes.NewReader(body)))
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			if w.Code != http.StatusOK || w.Body.Len() != len(body) {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
		}
	}
	serve() // fills pools
	objects, size := allocated(serve)
	return heapUse{objects / requests, size / requests}
}
