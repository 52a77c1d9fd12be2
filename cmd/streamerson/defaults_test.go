package main

import (
	"strings"
	"testing"
	"time"

	"github.com/streamerson/streamerson/config"
	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// TestDefaultsAgree: package config knows no other package, so its defaults and its rule for names are written twice.
func TestDefaultsAgree(t *testing.T) {
	c, err := config.Parse("f", []byte("worker: {streams: [{name: s}]}\n"), config.Options{Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []struct {
		what      string
		got, want any
	}{
		{"worker.group", c.Worker.Group, rpc.DefaultGroup},
		{"worker.slots", c.Worker.Slots, rpc.DefaultSlots},
		{"worker.lease", c.Worker.Lease.D(), transport.DefaultLease},
		{"worker.drain", c.Worker.Drain.D(), rpc.DefaultDrainTimeout},
		{"worker.max_attempts", c.Worker.MaxAttempts, rpc.DefaultMaxAttempts},
		{"gateway.timeouts.call", c.Gateway.Timeouts.Call.D(), rpc.DefaultTimeout},
		{"worker.retry_delays[2]", c.Worker.RetryDelays[2].D(), 30 * time.Second},
	} {
		if k.got != k.want {
			t.Errorf("%s: the file's default is %v, the core's %v", k.what, k.got, k.want)
		}
	}
	for _, name := range []string{"a", "_", "9", "a.b-c_D", "", ".a", "-a", "a b", "a/b", "ä", strings.Repeat("x", 200), strings.Repeat("x", 201)} {
		_, err := config.Parse("f", []byte("worker: {group: '"+name+"'}\n"), config.Options{Environ: []string{}})
		if (err == nil) != (transport.CheckName(name) == nil) {
			t.Errorf("name %q: config says %v, transport %v", name, err, transport.CheckName(name))
		}
	}
}
