package conformance

import (
	"strconv"
	"time"

	"github.com/streamerson/streamerson/rpc"
)

// supervisor keeps one worker running, with as many attempts for a request as it has patience for: 5, or 3 where a takeover takes
// longer than 3 s.
type supervisor struct {
	s        *system
	attempts int
	current  *member
}

func (s *system) supervisor() *supervisor {
	v := &supervisor{s: s, attempts: 5}
	if s.takeoverBound() > systemLease+2*time.Second {
		v.attempts = 3
	}
	return v
}

// start launches the first worker and waits until it serves.
func (v *supervisor) start() {
	v.s.Helper()
	v.launch()
	v.current.awaitReady(6 * patience)
}

func (v *supervisor) launch() {
	v.current = v.s.launch(roleWorker, func(c *childConfig) { c.Worker.Lease, c.Worker.MaxAttempts = v.s.d(systemLease), v.attempts })
}

// until starts a worker for each that ends by the request poison, until its caller is told that it was given up (or, without
// Stored, its deadline has come). It returns how many have ended, at most so many.
func (v *supervisor) until(poison <-chan answer, timeout time.Duration, most int) (crashes int) {
	s := v.s
	s.Helper()
	for {
		select {
		case got := <-poison:
			want := rpc.CodeAborted
			if !s.caps.Stored {
				want = rpc.CodeDeadlineExceeded
			}
			if rpc.CodeOf(got.err) != want {
				s.Errorf("after %d crashes: %v, want %v", crashes, got, want)
			}
			return crashes
		case <-v.current.ended:
			if status := v.current.status(time.Second); status != crashStatus {
				s.Fatalf("the worker ended with status %d; its errors:\n%s", status, v.current.proc.stderr.String())
			}
			if crashes++; crashes > most {
				s.Fatalf("the request was tried once more after %d crashes", most)
			}
			v.launch()
		case <-time.After(s.d(timeout) + slack):
			s.Fatalf("no end after %d crashes", crashes)
		}
	}
}

// deadLetters checks that all there are tell of the request that ends its process, after all its attempts.
func (v *supervisor) deadLetters() {
	v.s.Helper()
	for _, l := range v.s.deadLetters() {
		if l.Header.Get(rpc.DeadHeaderCause) != string(rpc.DeadCrashes) || l.Function != fnCrash || l.Header.Get(rpc.DeadHeaderAttempts) != strconv.Itoa(v.attempts+1) {
			v.s.Errorf("dead letter of function %s: %v", l.Function, l.Header)
		}
	}
}
