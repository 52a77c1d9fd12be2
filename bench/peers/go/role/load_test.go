package role

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

type callerFunc func(ctx context.Context, body []byte) ([]byte, error)

func (f callerFunc) Call(ctx context.Context, body []byte) ([]byte, error) { return f(ctx, body) }

func drive(t *testing.T, l Load, f callerFunc) Result {
	t.Helper()
	r, err := Drive(t.Context(), f, l)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, n := range r.Errors {
		failed += n
	}
	if r.OK+r.Wrong+r.Dropped+failed != l.Calls {
		t.Errorf("the counts don't add up to %d calls: %+v", l.Calls, r)
	}
	return r
}

func echo(_ context.Context, body []byte) ([]byte, error) { return bytes.Clone(body), nil }

func TestEveryReplyIsChecked(t *testing.T) {
	var n atomic.Int64
	r := drive(t, Load{Calls: 300, InFlight: 8, Size: 100}, func(ctx context.Context, body []byte) ([]byte, error) {
		switch n.Add(1) % 3 {
		case 0:
			return body[:len(body)-1], nil
		case 1:
			return nil, errors.New("refused")
		}
		return echo(ctx, body)
	})
	if r.OK != 100 || r.Wrong != 100 || r.Errors["refused"] != 100 {
		t.Errorf("got %+v", r)
	}
	h, err := hdr.Decode([]byte(r.HDR))
	if err != nil || h.TotalCount() != 100 {
		t.Errorf("the histogram holds %v calls, %v", h, err)
	}
}

func TestPayloadsDiffer(t *testing.T) {
	a, b := make([]byte, 21), make([]byte, 21)
	fillPayload(a, 1)
	fillPayload(b, 2)
	if bytes.Equal(a, b) || bytes.Equal(a[8:16], b[8:16]) || a[20] == 0 && b[20] == 0 {
		t.Errorf("%x and %x", a, b)
	}
}

// TestAStallIsSeenByTheCallsBehindIt: in open loop a callee that stands still makes the calls late that are due meanwhile.
func TestAStallIsSeenByTheCallsBehindIt(t *testing.T) {
	const stall = 300 * time.Millisecond
	started := time.Now()
	r := drive(t, Load{Calls: 200, InFlight: 200, Size: 16, Rate: 1000, Arrival: "constant"}, func(ctx context.Context, body []byte) ([]byte, error) {
		if left := stall - time.Since(started); left > 0 { // nobody is answered before
			time.Sleep(left)
		}
		return echo(ctx, body)
	})
	// All 200 calls are due in the first 200 ms: the one in the middle waits for 200 ms.
	if r.OK != 200 || r.P50 < stall/2 {
		t.Errorf("half the calls took %v at most, though nobody was answered for %v: %+v", r.P50, stall, r)
	}
}

func TestArrivalsBeyondTheLimitAreDropped(t *testing.T) {
	release := make(chan struct{})
	time.AfterFunc(200*time.Millisecond, func() { close(release) })
	r := drive(t, Load{Calls: 100, InFlight: 10, Size: 16, Rate: 10_000}, func(ctx context.Context, body []byte) ([]byte, error) {
		<-release
		return echo(ctx, body)
	})
	if r.Dropped == 0 || r.OK < 10 {
		t.Errorf("got %+v", r)
	}
}

func TestAnEmptyLoadIsRefused(t *testing.T) {
	if _, err := Drive(t.Context(), callerFunc(echo), Load{InFlight: 1}); err == nil {
		t.Error("no error")
	}
}
