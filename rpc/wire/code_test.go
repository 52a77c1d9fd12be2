package wire_test

import (
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/streamerson/streamerson/rpc/wire"
)

// TestCodes holds the codes against the table in SPEC.md, which other languages are written from.
func TestCodes(t *testing.T) {
	spec, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`\| (\d+) \| ([a-z_]+) \| (\d{3}) \|`).FindAllStringSubmatch(string(spec), -1)
	if len(rows) != 17 {
		t.Fatalf("SPEC.md has %d codes", len(rows))
	}
	for _, r := range rows {
		n, _ := strconv.Atoi(r[1])
		status, _ := strconv.Atoi(r[3])
		c := wire.Code(n)
		if !c.Valid() || c.String() != r[2] || c.HTTPStatus() != status {
			t.Errorf("SPEC.md has code %d as %s with %d, the program as %v with %d", n, r[2], status, c, c.HTTPStatus())
		}
		if got, ok := wire.ParseCode(r[2]); !ok || got != c {
			t.Errorf("%s parses as %v", r[2], got)
		}
		// Codes that share a status come back as one of those that share it.
		if back := wire.CodeFromHTTP(status); back.HTTPStatus() != status {
			t.Errorf("%v → %d → %v", c, status, back)
		}
	}
	for status, want := range map[int]wire.Code{
		200: wire.CodeOK, 204: wire.CodeOK, 304: wire.CodeOK, 400: wire.CodeInvalidArgument, 401: wire.CodeUnauthenticated, 403: wire.CodePermissionDenied,
		404: wire.CodeNotFound, 408: wire.CodeDeadlineExceeded, 412: wire.CodeFailedPrecondition, 413: wire.CodeInvalidArgument, 416: wire.CodeOutOfRange,
		418: wire.CodeUnknown, 429: wire.CodeResourceExhausted, 499: wire.CodeCanceled, 500: wire.CodeInternal, 501: wire.CodeUnimplemented,
		502: wire.CodeUnavailable, 503: wire.CodeUnavailable, 504: wire.CodeDeadlineExceeded, 599: wire.CodeUnknown, 100: wire.CodeUnknown, 0: wire.CodeUnknown,
	} {
		if got := wire.CodeFromHTTP(status); got != want {
			t.Errorf("status %d is %v, want %v", status, got, want)
		}
	}
	if wire.Code(17).Valid() || wire.Code(200).HTTPStatus() != 500 || wire.Code(200).String() != "unknown" {
		t.Error("a code outside the set")
	}
	if _, ok := wire.ParseCode("OK"); ok {
		t.Error("names are in lower case")
	}
}

func TestHeaderAndID(t *testing.T) {
	h := wire.Header{{Name: "A", Value: "1"}, {Name: "b", Value: "2"}, {Name: "a", Value: "3"}}
	h = h.Set("a", "4").Set("c", "5")
	if want := (wire.Header{{Name: "A", Value: "4"}, {Name: "b", Value: "2"}, {Name: "c", Value: "5"}}); !reflect.DeepEqual(h, want) {
		t.Errorf("%v", h)
	}
	if h.Get("B") != "2" || h.Get("none") != "" {
		t.Error("Get")
	}
	i := id(7)
	if back, err := wire.ParseID(i.String()); err != nil || back != i || i.IsZero() {
		t.Error(back, err)
	}
	for _, s := range []string{"", "00", strings.Repeat("0", 31), strings.Repeat("g", 32), strings.Repeat("0", 34)} {
		if _, err := wire.ParseID(s); err == nil {
			t.Errorf("%q is taken as an id", s)
		}
	}
}
