package kafka

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// openQuiet opens the driver without its complaints about a broker that is tortured.
func openQuiet(ctx context.Context, rawURL string) (transport.Driver, error) {
	return openURL(ctx, rawURL, transport.Options{Logger: slog.New(slog.DiscardHandler)})
}

// suiteURL is the shared broker's; 50 streams of 8 partitions take a loaded machine seconds to make.
func suiteURL() string { return shared.URL + "?partitions=4" }

func TestConformance(t *testing.T) {
	h := conformance.Harness{
		Open: func(ctx context.Context) (transport.Driver, error) { return openQuiet(ctx, suiteURL()) },
		URL:  suiteURL(),
		Addr: shared.Addr,
		OpenVia: func(ctx context.Context, addr string) (transport.Driver, error) {
			return openQuiet(ctx, suiteURL()+"&dial_timeout=3s&via="+addr)
		},
		Takeover: defaultSession + 2*time.Second,
		// Slow bounds waits: 50 streams are 200 partitions to make, and a broker that starts again wants a core for 5 s. `make conform
		// BROKER=kafka` runs the scenarios at full length.
		Slow: 3, Short: true,
	}
	if shared.Controllable() { // nobody wants the topics of a broker of theirs deleted
		h.Broker = conformance.Control{
			Wipe:       shared.Wipe,
			Restart:    shared.Restart,
			Kill:       func(context.Context) error { return shared.Kill9() },
			Start:      shared.Start,
			StartEmpty: shared.StartEmpty,
			Stop:       func(context.Context) error { return shared.Pause() },
			Continue:   func(context.Context) error { return shared.Resume() },
			SmallDisk:  smallDisk,
		}
	}
	conformance.Run(t, h)
}

// smallDisk starts a Kafka whose log.dirs are on a disk of its own. Its segments are small: each has index files of a fixed size.
func smallDisk(ctx context.Context, size int64) (*conformance.Disk, error) {
	disk, err := brokers.NewDisk(size)
	if err != nil {
		return nil, err
	}
	k, err := brokers.StartKafka(ctx, brokers.KafkaConfig{Dir: disk.Dir, Own: true, Properties: []string{"log.index.size.max.bytes=65536"}})
	if err != nil {
		disk.Remove()
		return nil, err
	}
	// A second broker that has just begun is slow: it gets more time to answer.
	return &conformance.Disk{
		Open: func(ctx context.Context) (transport.Driver, error) {
			return openQuiet(ctx, k.URL+"?partitions=1&timeout=10s&dial_timeout=5s")
		},
		Fill: disk.Fill, Free: disk.Free, Restart: k.Restart,
		Stop: func() { k.Stop(); disk.Remove() },
	}, nil
}
