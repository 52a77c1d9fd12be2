package bench

import (
	"testing"

	"github.com/streamerson/streamerson/bench/result"
)

// TestKafkaRun is a short run of the whole: every call is answered, and every goal has its figure.
func TestKafkaRun(t *testing.T) {
	self := testSelf(t)
	k, err := startKafka(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := k.stop(); err != nil {
			t.Error(err)
		}
	}()
	o := DefaultOptions()
	o.Rounds, o.Visit = 1, 20e6
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	s := suite{group: "kafka", brokers: []broker{k}, legs: kafkaLegs(self, k, testRedis(t)), cells: kafkaCells, goals: kafkaGoals}
	r := newResult(t)
	if err := s.measure(t.Context(), o, r, nil); err != nil {
		t.Fatal(err)
	}
	if r.Failed() > 0 || len(r.Cells) != len(kafkaCells) {
		t.Errorf("%d cells, %d calls failed", len(r.Cells), r.Failed())
	}
	for _, c := range r.Cells {
		if u := c.Rounds[0].CPU; u[result.PartClient] <= 0 || u[result.PartWorker] <= 0 {
			t.Errorf("%s: CPU %v", c.Name(), u)
		}
	}
	for _, g := range r.Goals {
		if g.Verdict == result.NotMeasured {
			t.Errorf("%s is not measured", g.Title)
		}
	}
}
