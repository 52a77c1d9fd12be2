package mem

import (
	"testing"

	"github.com/streamerson/streamerson/transport"
)

func TestOpenURL(t *testing.T) {
	r := &transport.Registry{}
	r.Register("mem", Open)
	open := func(url string) (*Driver, error) {
		d, err := r.Open(t.Context(), url, transport.Options{})
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = d.Close(t.Context()) })
		return d.(*Driver), nil
	}
	same := func(a, b string) bool {
		t.Helper()
		x, errX := open(a)
		y, errY := open(b)
		if errX != nil || errY != nil {
			t.Fatalf("%s: %v; %s: %v", a, errX, b, errY)
		}
		return x.Broker() == y.Broker()
	}
	if !same("mem://open-test", "mem://open-test/") || same("mem://open-test", "mem://other-open-test") || same("mem://", "mem://") {
		t.Error("brokers are not told apart by their names")
	}
	if d, err := open("mem://open-test-dedup?dedup=true"); err != nil || !d.Capabilities().Dedup {
		t.Errorf("dedup=true: %v", err)
	}
	for _, bad := range []string{
		"mem://a b", "mem://user:secret@x", "mem://x:1", "mem://x/path", "mem://x#f", "mem://x?what=1", "mem://x?dedup=maybe",
		"mem://open-test-dedup", "mem://" + string(make([]byte, 201)),
	} {
		if _, err := open(bad); !transport.IsCode(err, transport.CodeInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
