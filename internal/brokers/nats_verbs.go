package brokers

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// filler is the name of the stream, and its subject, with which Fill takes all the room.
const filler = "filler"

// The server's error codes for "no room": of the account, of the disk, of the stream.
var natsFull = []jetstream.ErrorCode{10023, 10047, 10077}

// Wipe deletes all of JetStream's streams while the server runs. It is for servers without a password that were started here.
func (n *NATSProcess) Wipe(ctx context.Context) error {
	return n.jetStream(func(js jetstream.JetStream) error {
		names := js.StreamNames(ctx)
		for name := range names.Name() {
			if err := js.DeleteStream(ctx, name); err != nil {
				return err
			}
		}
		return names.Err()
	})
}

// Fill leaves no room in the store: ever smaller messages are stored until one is refused. It needs NATSConfig.MaxStore, or it
// fills the disk. Relieve ends that.
func (n *NATSProcess) Fill(ctx context.Context) error {
	if n.cfg.MaxStore == 0 {
		return errors.New("brokers: Fill: the server's store has no bound; set NATSConfig.MaxStore")
	}
	return n.jetStream(func(js jetstream.JetStream) error {
		if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: filler, Subjects: []string{filler}}); err != nil {
			return err
		}
		for size := 512 << 10; size > 0; size /= 4 {
			for {
				_, err := js.Publish(ctx, filler, make([]byte, size))
				if full(err) {
					break
				}
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func full(err error) bool {
	e, ok := errors.AsType[*jetstream.APIError](err)
	return ok && slices.Contains(natsFull, e.ErrorCode)
}

// Relieve ends Fill.
func (n *NATSProcess) Relieve(ctx context.Context) error {
	return n.jetStream(func(js jetstream.JetStream) error { return js.DeleteStream(ctx, filler) })
}

// DeleteGroup deletes a group of a stream of the driver's: the durable consumer.
func (n *NATSProcess) DeleteGroup(ctx context.Context, stream, group string) error {
	token := strings.NewReplacer(".", "=") // as the driver names them
	return n.jetStream(func(js jetstream.JetStream) error {
		return js.DeleteConsumer(ctx, "streamerson_"+token.Replace(stream), token.Replace(group))
	})
}

// jetStream does something over a connection of its own.
func (n *NATSProcess) jetStream(do func(jetstream.JetStream) error) error {
	if err := n.ours(); err != nil { // nobody wants the data of a server of theirs deleted
		return err
	}
	nc, err := nats.Connect(n.Addr, nats.Timeout(wipeTimeout))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	return do(js)
}
