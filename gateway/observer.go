package gateway

import "time"

// Observer is told about each request, for metrics. Its methods are called on the hot path from many goroutines: they must
// not block.
type Observer interface {
	// RequestStart and RequestDone bracket every request, those that match no route included.
	RequestStart()
	// RequestDone gets the route's pattern ("GET /posts/{id}"; "" when none matched), the status that was sent and the time
	// since RequestStart. StatusClientGone stands for a client that left before its answer.
	RequestDone(route string, status int, took time.Duration)
}

// StatusClientGone is observed and logged, never sent: the client closed its connection before the answer.
const StatusClientGone = 499

type nopObserver struct{}

func (nopObserver) RequestStart()                          {}
func (nopObserver) RequestDone(string, int, time.Duration) {}
