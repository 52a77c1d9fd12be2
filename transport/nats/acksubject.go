package nats

import (
	"strconv"
	"strings"
)

// ackPrefix begins the subject to which a delivery is acked, which also tells what the delivery is.
const ackPrefix = "$JS.ACK."

// delivered is what an ack subject tells.
type delivered struct {
	// seq is the message's number in the stream, which is its id. It aliases the subject.
	seq string
	// attempt counts its deliveries, this one included.
	attempt int
	// stored is when the server stored it, in nanoseconds since 1970.
	stored int64
}

// readAckSubject reads $JS.ACK.STREAM.CONSUMER.ATTEMPT.SEQ.CONSUMERSEQ.TIME.PENDING, or the same with DOMAIN.ACCOUNT before STREAM
// and more at the end. nats.go's Msg.Metadata does that too, with a handful of allocations for each delivery.
func readAckSubject(subject string) (delivered, bool) {
	dots := strings.Count(subject, ".")
	skip := 4
	switch {
	case dots == 8:
	case dots >= 10:
		skip = 6
	default:
		return delivered{}, false
	}
	var d delivered
	rest := subject
	for i := 0; ; i++ {
		tok, after, _ := strings.Cut(rest, ".")
		var err error
		switch i - skip {
		case 0:
			d.attempt, err = strconv.Atoi(tok)
		case 1:
			if _, err = strconv.ParseUint(tok, 10, 64); err == nil {
				d.seq = tok
			}
		case 3:
			d.stored, err = strconv.ParseInt(tok, 10, 64)
			return d, err == nil && strings.HasPrefix(subject, ackPrefix)
		}
		if err != nil {
			return delivered{}, false
		}
		rest = after
	}
}
