package parts

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/bench/role"
)

func TestLoadCallerTakesOnlyWholeGoodAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		want    string // in the error; "" for none
	}{
		"echo":   {echoHTTP, ""},
		"status": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) }, "status 503"},
		"no length": {func(w http.ResponseWriter, _ *http.Request) {
			_ = http.NewResponseController(w).Flush()
		}, "without Content-Length"},
		"cut": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("half"))
			panic(http.ErrAbortHandler)
		}, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(tc.handler)
			defer srv.Close()
			p, err := startHTTPLoad(t.Context(), role.Spec{URL: srv.URL})
			if err != nil {
				t.Fatal(err)
			}
			for range 3 { // on one connection, or on a new one after an error
				got, err := p.Caller.Call(t.Context(), nil, []byte("a body of some bytes"))
				switch {
				case tc.want == "" && (err != nil || string(got) != "a body of some bytes"):
					t.Errorf("got %q, %v", got, err)
				case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
					t.Errorf("got %q, %v; want an error with %q", got, err, tc.want)
				}
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
