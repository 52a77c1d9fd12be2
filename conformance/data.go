package conformance

import (
	"errors"
	"fmt"
	"slices"

	"github.com/streamerson/streamerson/transport"
)

func asError(err error) (*transport.Error, bool) { return errors.AsType[*transport.Error](err) }

func messages(stream string, lane bool, bodies []string) []transport.Message {
	msgs := make([]transport.Message, len(bodies))
	for i, b := range bodies {
		msgs[i] = transport.Message{Stream: stream, Lane: lane, Body: []byte(b)}
	}
	return msgs
}

func creditsFor(n int, streams ...string) []transport.Credit {
	cs := make([]transport.Credit, len(streams))
	for i, s := range streams {
		cs[i] = transport.Credit{Stream: s, Max: n}
	}
	return cs
}

// numbered returns the bodies "0", "1" … up to n.
func numbered(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(i)
	}
	return out
}

func bodiesOf(ds []transport.Delivery) []string {
	out := make([]string, len(ds))
	for i := range ds {
		out[i] = string(ds[i].Body)
	}
	return out
}

func stringsOf(bs [][]byte) []string {
	out := make([]string, len(bs))
	for i := range bs {
		out[i] = string(bs[i])
	}
	return out
}

// difference tells in words how got differs from want, "" if it doesn't.
func difference(got, want []string) string {
	if slices.Equal(got, want) {
		return ""
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("item %d is %.40q (%d bytes), want %.40q (%d bytes); %d items, want %d", i, got[i], len(got[i]), want[i], len(want[i]), len(got), len(want))
		}
	}
	return fmt.Sprintf("%d items, want %d", len(got), len(want))
}

// published compares what was delivered with what one Publish sent: in order where the driver claims that.
func published(d transport.Driver, got, want []string) string {
	if d.Capabilities().OrderedInPublish {
		return difference(got, want)
	}
	return sameSet(got, slices.Clone(want))
}

// sameSet compares without regard to order; both are sorted.
func sameSet(got, want []string) string {
	slices.Sort(got)
	slices.Sort(want)
	return difference(got, want)
}
