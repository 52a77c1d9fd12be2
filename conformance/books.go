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
	s.atLast(func() {
		v, path, err := b.Close(history.Rules{Lossy: s.forgiven != "", OneEffect: s.once}, s.Failed())
		switch {
		case err != nil:
			s.Errorf("the history in %s: %v", path, err)
		case v.Err() != nil:
			s.Errorf("%v\nThe history is kept in %s", v.Err(), path)
		case path != "":
			s.Logf("seed %d; the history is kept in %s", s.h.Seed, path)
		default:
			s.Logf("history: %v", v)
		}
	})
}

// recorded opens a driver whose doings are in the books, under the name of the part that uses it.
func (s *system) recorded(name string) (transport.Driver, *history.Recorder) {
	s.Helper()
	r, err := s.book.Recorder(name)
	if err != nil {
		s.Fatalf("history: %v", err)
	}
	return r.Driver(s.open()), r
}
