package conformance

import (
	"github.com/streamerson/streamerson/conformance/history"
	"github.com/streamerson/streamerson/transport"
)

// books opens the history of the scenario; it is judged when all is closed.
func (s *system) books() {
	s.Helper()
	b, err := history.Open("", s.h.Prefix+s.scenario, s.h.Seed)
	if err != nil {
		s.Fatalf("%v", err)
	}
	s.book = b
	s.atLast(func() { s.judge(b, history.Rules{Lossy: s.forgiven != "", OneEffect: s.once, OneEntry: s.storedOnce}) })
}

// judge ends a history, and keeps it if it is bad or the scenario has failed.
func (e *Env) judge(b *history.Book, rules history.Rules) {
	e.Helper()
	v, path, err := b.Close(rules, e.Failed())
	switch {
	case err != nil:
		e.Errorf("the history in %s: %v", path, err)
	case v.Err() != nil:
		e.Errorf("%v\nThe history is kept in %s", v.Err(), path)
	case path != "":
		e.Logf("seed %d; the history is kept in %s", e.h.Seed, path)
	default:
		e.Logf("history: %v", v)
	}
}

// recorded opens a driver whose doings are in the books, under the name of the part that uses it.
func (s *system) recorded(name string) (transport.Driver, *history.Recorder) {
	s.Helper()
	return s.record(name, s.open())
}

// record is recorded for a driver that is open.
func (s *system) record(name string, d transport.Driver) (transport.Driver, *history.Recorder) {
	s.Helper()
	r := s.book.Recorder(name)
	return r.Driver(d), r
}
