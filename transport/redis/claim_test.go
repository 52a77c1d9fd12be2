package redis

import (
	"testing"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// A consumer with a short lease leaves one with a long lease its delivery for the long lease, and takes it after that.
func TestEachDeliveryHasItsOwnersLease(t *testing.T) {
	d, _ := open(t)
	s := name(t)
	ensure(t, d, s)
	const long = 1500 * time.Millisecond
	slow, quick := join(t, d, long), join(t, d, 200*time.Millisecond)
	accepted(t, d, msgs(s, "x")...)
	receive(t, slow, s, 1, time.Second)
	nothing(t, quick, s, long*2/3)
	again := receive(t, quick, s, 1, long)
	if again[0].Attempt != 2 {
		t.Errorf("taken over with attempt %d", again[0].Attempt)
	}
	ok(t, settle(t, quick, transport.Ack, again...))
}
