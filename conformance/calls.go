package conformance

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// answer is how a call ended.
type answer struct {
	resp *rpc.Response
	err  error
	took time.Duration
}

func (a answer) String() string {
	if a.err != nil {
		return fmt.Sprintf("error %q after %v", a.err, a.took)
	}
	return fmt.Sprintf("an answer of %d bytes, %.40q, after %v", len(a.resp.Body), a.resp.Body, a.took)
}

// nameOf is what the ledger calls a request; bodyName is the same by its body.
func nameOf(r *rpc.Request) string { return bodyName(r.Body) }

func bodyName(body []byte) string {
	name, _, _ := strings.Cut(string(body), " ")
	return name
}

// call makes a call and keeps the books.
func (s *system) call(c *rpc.Client, r *rpc.Request) answer {
	return s.callIn(context.Background(), c, r)
}

func (s *system) callIn(ctx context.Context, c *rpc.Client, r *rpc.Request) answer {
	began := time.Now()
	s.ledger.sending(nameOf(r))
	resp, err := c.Call(ctx, r)
	s.ledger.outcome(nameOf(r), err == nil && (r.Function == fnEffect || r.Function == fnStall))
	return answer{resp, err, time.Since(began)}
}

// later makes a call in the background.
func (s *system) later(c *rpc.Client, r *rpc.Request) <-chan answer {
	return s.laterIn(context.Background(), c, r)
}

func (s *system) laterIn(ctx context.Context, c *rpc.Client, r *rpc.Request) <-chan answer {
	done := make(chan answer, 1)
	go func() { done <- s.callIn(ctx, c, r) }()
	return done
}

// within waits for an answer, for the time before Slow and slack.
func (s *system) within(bound time.Duration, a <-chan answer) answer {
	s.Helper()
	select {
	case got := <-a:
		return got
	case <-time.After(s.d(bound) + slack):
		s.Fatalf("no answer within %v", s.d(bound)+slack)
		return answer{}
	}
}

// send sends one way and keeps the books.
func (s *system) send(c *rpc.Client, r *rpc.Request) error {
	s.ledger.sending(nameOf(r))
	err := c.Send(context.Background(), r)
	s.ledger.outcome(nameOf(r), err == nil)
	return err
}
