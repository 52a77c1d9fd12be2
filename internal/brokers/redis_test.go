package brokers_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
)

func command(t *testing.T, addr, cmd string) string {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := c.Write([]byte(cmd + "\r\n")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 512)
	n, err := c.Read(b)
	if err != nil {
		return err.Error()
	}
	return string(b[:n])
}

func TestRedisSurvivesAKillWithAOF(t *testing.T) {
	r := brokerstest.Redis(t, brokers.RedisConfig{AOF: "everysec", Own: true})
	if got := command(t, r.Addr, "SET k v"); got != "+OK\r\n" {
		t.Fatalf("SET: %q", got)
	}
	pid := r.Pid
	if err := r.Kill9(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.DialTimeout("tcp", r.Addr, time.Second); err == nil {
		t.Fatal("the port is open after Kill9")
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Pid == pid {
		t.Fatal("the pid did not change")
	}
	if got := command(t, r.Addr, "GET k"); !strings.Contains(got, "v") {
		t.Fatalf("after the restart GET: %q", got)
	}
	if err := r.StartEmpty(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := command(t, r.Addr, "GET k"); got != "$-1\r\n" {
		t.Fatalf("after StartEmpty GET: %q", got)
	}
}

func TestRedisPauseAnswersNothing(t *testing.T) {
	r := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	if got := command(t, r.Addr, "PING"); !strings.Contains(got, "timeout") {
		t.Fatalf("a paused server answered %q", got)
	}
	if err := r.Resume(); err != nil {
		t.Fatal(err)
	}
	if got := command(t, r.Addr, "PING"); got != "+PONG\r\n" {
		t.Fatalf("after Resume: %q", got)
	}
}

func TestRedisMissingBinarySaysWhatToInstall(t *testing.T) {
	t.Setenv(brokers.EnvFrom, "")
	t.Setenv("PATH", "")
	t.Setenv(brokers.EnvRedisServer, "")
	_, err := brokers.StartRedis(t.Context(), brokers.RedisConfig{Own: true})
	if err == nil || !strings.Contains(err.Error(), "apt-get install redis-server") {
		t.Fatalf("got %v", err)
	}
}

func TestRedisAddressFromEnvironment(t *testing.T) {
	own := brokerstest.Redis(t, brokers.RedisConfig{Own: true})
	t.Setenv(brokers.EnvFrom, "")
	t.Setenv(brokers.EnvRedisURL, own.URL)
	r, err := brokers.StartRedis(t.Context(), brokers.RedisConfig{})
	if err != nil || r.URL != own.URL || r.Pid != 0 || r.Controllable() {
		t.Fatalf("got %+v, %v", r, err)
	}
	if r.Kill9() == nil {
		t.Fatal("Kill9 of a foreign server must fail")
	}
	r.Stop()
	if got := command(t, own.Addr, "PING"); got != "+PONG\r\n" {
		t.Fatalf("Stop touched a foreign server: %q", got)
	}
}
