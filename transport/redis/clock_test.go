package redis

import (
	"strconv"
	"testing"
	"time"
)

func TestAgeIsByTheBrokersClock(t *testing.T) {
	broker := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC) // years from ours
	var d Driver
	d.setClock(broker, mono())
	id := func(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) + "-0" }
	if age := d.age(id(broker.Add(-5 * time.Second))); age < 5*time.Second || age > time.Minute {
		t.Errorf("age %v, want 5 s and a little", age)
	}
	if age := d.age(id(broker.Add(time.Hour))); age != 0 {
		t.Errorf("age %v of an entry from the future, want 0", age)
	}
}
