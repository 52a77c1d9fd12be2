package nats

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamerson/streamerson/transport"
)

// directGet is the request of JetStream's batched direct get.
type directGet struct {
	Seq     uint64 `json:"seq"`
	Batch   int    `json:"batch"`
	Subject string `json:"next_by_subj"`
}

// Browse implements transport.Browser by one batched direct get. Of a stream with groups it may show what was settled in the last seconds,
// and of those behind the first unsettled one, what is settled.
func (d *Driver) Browse(ctx context.Context, stream, after string, limit int) ([]transport.Delivery, error) {
	if err := d.checkBrowse("browse", stream); err != nil {
		return nil, err
	}
	seq := uint64(0)
	if after != "" {
		var err error
		if seq, err = strconv.ParseUint(after, 10, 64); err != nil {
			return nil, failMsg(transport.CodeInvalid, "browse", stream, "the id to begin after is none that Browse gave")
		}
	}
	if limit < 1 {
		return nil, failMsg(transport.CodeInvalid, "browse", stream, "max must be at least 1")
	}
	ctx, cancel := context.WithTimeout(ctx, d.set.timeout)
	defer cancel()
	request, err := json.Marshal(directGet{Seq: seq + 1, Batch: limit, Subject: streamSubject(stream)})
	if err != nil {
		return nil, fail("browse", stream, err)
	}
	inbox := d.nc.NewInbox()
	sub, err := d.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, fail("browse", stream, err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := d.nc.PublishRequest("$JS.API.DIRECT.GET."+jsStream(stream), inbox, request); err != nil {
		return nil, errDown("browse", stream, err)
	}
	var ds []transport.Delivery
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil && !errors.Is(err, natsgo.ErrNoResponders) {
			return nil, fail("browse", stream, err)
		}
		if err != nil || noResponders(m) {
			return d.browseGone(ctx, stream)
		}
		switch status(m) {
		case "204", "404":
			return ds, nil
		case "":
		default:
			return nil, failMsg(transport.CodeInternal, "browse", stream, "the server says "+m.Header.Get("Description"))
		}
		stored, err := time.Parse(time.RFC3339Nano, m.Header.Get("Nats-Time-Stamp"))
		age := d.age(time.Now(), stored.UnixNano())
		if err != nil {
			age = -1
		}
		ds = append(ds, transport.Delivery{Stream: stream, ID: m.Header.Get(jetstream.SequenceHeader), Body: body(m), Attempt: 1, Age: age})
	}
}

// browseGone is for a stream whose subject nobody listens to.
func (d *Driver) browseGone(ctx context.Context, stream string) ([]transport.Delivery, error) {
	if d.heal(ctx, stream, "") {
		return nil, nil
	}
	return nil, failMsg(transport.CodeNotFound, "browse", stream, "there is no such stream; Ensure makes it")
}

func (d *Driver) checkBrowse(op, stream string) error {
	if err := d.check(op); err != nil {
		return err
	}
	if d.set.core {
		return failMsg(transport.CodeUnsupported, op, stream, "core NATS stores nothing; use nats:// for a stream that can be looked at")
	}
	return transport.CheckName(stream)
}

// Remove implements transport.Browser, one request for each id.
func (d *Driver) Remove(ctx context.Context, stream string, ids []string) (int, error) {
	if err := d.checkBrowse("remove", stream); err != nil {
		return 0, err
	}
	limited, cancel := context.WithTimeout(ctx, d.set.timeout)
	defer cancel()
	s, err := d.js.Stream(limited, jsStream(stream))
	if err != nil {
		return 0, fail("remove", stream, err)
	}
	n := 0
	for _, id := range ids {
		seq, err := strconv.ParseUint(id, 10, 64)
		if err != nil {
			continue
		}
		one, cancel := context.WithTimeout(ctx, d.set.timeout)
		err = s.DeleteMsg(one, seq)
		cancel()
		switch {
		case err == nil:
			n++
		case removedAlready(err):
		default:
			return n, fail("remove", stream, err)
		}
	}
	return n, nil
}

// removedAlready: the server refuses to delete what is not there.
func removedAlready(err error) bool {
	return errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful)
}

// body is never nil: an empty one is a message like any other.
func body(m *natsgo.Msg) []byte {
	if m.Data == nil {
		return []byte{}
	}
	return m.Data
}
