package bench

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// lagEvery is how often the requests that wait are counted during a visit: seldom enough to cost nothing that is measured.
const lagEvery = 200 * time.Millisecond

// watched reports whether the leg's workers are ours, and so their group is known.
func (l *processLeg) watched() bool {
	return l.broker != nil && slices.ContainsFunc(l.steps, func(s step) bool { return s.role == "rpc-worker" || s.role == "web-worker" })
}

// lagWatch looks, from this process, at how many requests of one stream wait for a worker. A nil one looks at nothing.
type lagWatch struct {
	d      transport.Driver
	stream string
}

func newLagWatch(ctx context.Context, url, stream string) (*lagWatch, error) {
	d, err := transport.Default.Open(ctx, url, transport.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		return nil, err
	}
	return &lagWatch{d: d, stream: stream}, nil
}

// start begins to look; the function that it returns ends that and tells the most that was seen, or −1.
func (w *lagWatch) start(ctx context.Context) (most func() int64) {
	if w == nil {
		return func() int64 { return -1 }
	}
	ctx, cancel := context.WithCancel(ctx)
	seen := make(chan int64, 1)
	go func() {
		n := int64(-1)
		tick := time.NewTicker(lagEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if lag, err := w.d.Lag(ctx, w.stream, rpc.DefaultGroup); err == nil {
					n = max(n, lag.Waiting)
				}
			case <-ctx.Done():
				seen <- n
				return
			}
		}
	}()
	return func() int64 { cancel(); return <-seen }
}

func (w *lagWatch) close() error {
	if w == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return w.d.Close(ctx)
}
