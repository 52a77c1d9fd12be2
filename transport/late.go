package transport

// Late learns an outcome after the call that asked for it has returned.
type Late interface {
	// Told is called exactly once, by a goroutine of the driver's. It must not block, and must not call the driver.
	Told(Result)
}

// LatePublisher is what a driver may offer besides: publishing without waiting for the outcome, where a broker says nothing of
// what it accepts until it is asked. It is for a lone message whose sender learns sooner by other means that it was accepted, a
// call by its reply: waiting would cost a round trip that wakes both sides once more.
type LatePublisher interface {
	// PublishLate sends m and tells to its outcome, which means what Publish's means: a rejection as soon as the broker has
	// said it, any other within some milliseconds and a round trip, or else Publish's time limit, and at the latest when the
	// driver is closed. It reports false when this message can't be sent so, for whatever cause, which Publish then tells:
	// nothing was sent, and to is not used. It doesn't wait for the broker. What one goroutine publishes, by Publish or late,
	// is sent in that order. m and its body may be reused by the caller once it returns.
	PublishLate(m *Message, to Late) bool
}

// LateSettler is what the consumers of a LatePublisher may offer besides.
type LateSettler interface {
	// SettleLate is to Settle what PublishLate is to Publish: the Result that to is told has the error that Settle would have
	// given. An ack still goes only behind an accepted reply. It keeps s no longer than the call.
	SettleLate(s *Settlement, to Late) bool
}
