//go:build kafka

package kafka

import (
	"context"
	"testing"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/transport"
)

func TestConformance(t *testing.T) {
	h := conformance.Harness{Open: func(ctx context.Context) (transport.Driver, error) {
		return openURL(ctx, shared.URL+"?partitions=4", transport.Options{}) // 50 streams of 8 take a loaded machine seconds to make
	}}
	if shared.Controllable() { // nobody wants the topics of a broker of theirs deleted
		h.Broker = conformance.Control{Wipe: wipe, Restart: shared.Restart}
	}
	conformance.Run(t, h)
}

// wipe deletes all topics, the driver's own included.
func wipe(ctx context.Context) error {
	any, err := openURL(ctx, shared.URL, transport.Options{})
	if err != nil {
		return err
	}
	d := any.(*Driver)
	defer func() { _ = d.Close(ctx) }()
	res, err := d.cl.refresh(ctx, nil)
	if err != nil {
		return err
	}
	var names []string
	for _, topic := range res.Topics {
		if !topic.IsInternal && topic.Name != clockTopic {
			names = append(names, topic.Name)
		}
	}
	return d.deleteTopics(ctx, names...)
}
