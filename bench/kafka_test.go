package bench

import (
	"testing"
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
	s := suite{broker: k, legs: kafkaLegs(self, k, testRedis(t)), cells: kafkaCells, goals: kafkaGoals}
	r, err := s.measure(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Failed() > 0 || len(r.Cells) != len(kafkaCells) {
		t.Errorf("%d cells, %d calls failed", len(r.Cells), r.Failed())
	}
	for _, c := range r.Cells {
		if u := c.Rounds[0].PartCPU; u[PartClient] <= 0 || u[PartWorker] <= 0 {
			t.Errorf("%s: CPU %v", c.Cell, u)
		}
	}
	for _, g := range r.Goals {
		if !g.Measured {
			t.Errorf("%s is not measured", g.Title)
		}
	}
}
