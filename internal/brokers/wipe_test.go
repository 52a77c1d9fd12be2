package brokers_test

import (
	"testing"

	"github.com/streamerson/streamerson/internal/brokers"
)

func TestRedisWipe(t *testing.T) {
	r, err := brokers.StartRedis(t.Context(), brokers.RedisConfig{Own: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Stop)
	command(t, r.Addr, "SET a b")
	if err := r.Wipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := command(t, r.Addr, "DBSIZE"); got != ":0\r\n" {
		t.Errorf("after a wipe DBSIZE is %q", got)
	}
	var theirs brokers.Redis
	if theirs.Wipe(t.Context()) == nil {
		t.Error("a Redis that was not started here was wiped")
	}
}
