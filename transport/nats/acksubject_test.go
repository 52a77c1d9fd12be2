package nats

import (
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
)

// What is read of an ack subject is what nats.go reads.
func TestAckSubject(t *testing.T) {
	for _, subject := range []string{
		"$JS.ACK.streamerson_s.workers.1.7.9.1764000000123456789.3",
		"$JS.ACK.streamerson_a=b.workers.12.18446744073709551615.9.1764000000123456789.0",
		"$JS.ACK.hub.ACCHASH.streamerson_s.workers.2.77.99.1764000000123456789.5.tok",
		"$JS.ACK._.ACCHASH.streamerson_s.workers.2.77.99.1764000000123456789.5.tok",
		"$JS.ACK.s.workers.1.7.9.3",
		"$JS.ACK.s.workers.x.7.9.1764000000123456789.3",
		"$JS.ACK.s.workers.1.x.9.1764000000123456789.3",
		"$JS.ACK.s.workers.1.7.9.x.3",
		"other.ACK.s.workers.1.7.9.1764000000123456789.3",
		"",
	} {
		got, ok := readAckSubject(subject)
		m := nats.Msg{Reply: subject, Sub: &nats.Subscription{}}
		want, err := m.Metadata()
		if err != nil || subject == "" {
			if ok {
				t.Errorf("%s: read, and nats.go says %v", subject, err)
			}
			continue
		}
		if !ok {
			// nats.go takes a part that is no number for 0.
			if want.NumDelivered > 0 && want.Sequence.Stream > 0 && want.Timestamp.UnixNano() > 0 {
				t.Errorf("%s: not read; nats.go reads %+v", subject, want)
			}
			continue
		}
		if uint64(got.attempt) != want.NumDelivered || got.stored != want.Timestamp.UnixNano() || got.seq != strconv.FormatUint(want.Sequence.Stream, 10) {
			t.Errorf("%s: %+v; nats.go reads %+v", subject, got, want)
		}
	}
}
