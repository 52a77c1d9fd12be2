package nats

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// clusterWithin bounds an election, and what follows from it.
const clusterWithin = 60 * time.Second

// cluster starts three servers that know each other, by name.
func cluster(t *testing.T) map[string]*brokers.NATS {
	t.Helper()
	ports := make([]int, 3)
	var routes []*url.URL
	for i := range ports {
		var err error
		if ports[i], err = brokers.FreePort(); err != nil {
			t.Fatal(err)
		}
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", ports[i])})
	}
	servers := map[string]*brokers.NATS{}
	for i, port := range ports {
		name := fmt.Sprintf("n%d", i)
		servers[name] = embedded(t, func(o *natsserver.Options) {
			o.ServerName, o.Routes = name, routes
			o.Cluster = natsserver.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port}
		})
	}
	return servers
}

// With three replicas nothing that was accepted is lost when the stream's leader goes away, and work goes on with two servers.
func TestClusterSurvivesItsLeader(t *testing.T) {
	servers := cluster(t)
	var addrs []string
	for _, n := range servers {
		addrs = append(addrs, n.Addr)
	}
	raw := "nats://" + strings.Join(addrs, ",") + "?replicas=3&timeout=2s"
	var d *Driver
	eventually(t, "the cluster has JetStream", func() error {
		x, err := Open(t.Context(), parse(t, raw), transport.Options{})
		if err == nil {
			d = x.(*Driver)
			t.Cleanup(func() { _ = d.Close(context.Background()) })
		}
		return err
	})
	if got := d.Capabilities().Durability; got != transport.DurabilityQuorum {
		t.Errorf("durability %v", got)
	}
	specs := []transport.StreamSpec{{Stream: "s", Groups: []string{"workers"}}}
	eventually(t, "the stream is made", func() error { return d.Ensure(t.Context(), specs) })
	c, err := d.Join(t.Context(), transport.Subscription{Group: "workers"})
	if err != nil {
		t.Fatal(err)
	}
	sent := map[string]bool{}
	send := func(from, to int) {
		for _, m := range numbered("s", from, to) {
			eventually(t, "a message is accepted", func() error { return publish(d, m)[0].Err })
			sent[string(m.Body)] = true
		}
	}
	send(0, 50)
	for _, x := range take(t, c, "s", 20) { // some are settled, some only taken
		if len(sent)%2 == 0 {
			ack1(t, c, x)
		}
		delete(sent, string(x.Body))
	}
	var s jetstream.Stream
	eventually(t, "the stream is found", func() error {
		s, err = d.js.Stream(t.Context(), jsStream("s"))
		return err
	})
	leader := s.CachedInfo().Cluster.Leader
	servers[leader].Terminate()
	send(50, 80)
	deadline := time.Now().Add(clusterWithin)
	for len(sent) > 0 {
		if time.Now().After(deadline) {
			t.Fatalf("%d accepted messages did not come: %v", len(sent), sent)
		}
		ctx, cancel := contextUntil(t, time.Now().Add(2*time.Second))
		ds, err := c.Receive(ctx, 10, []transport.Credit{{Stream: "s", Max: 10}})
		cancel()
		if err != nil {
			time.Sleep(20 * time.Millisecond)
		}
		for _, x := range ds {
			delete(sent, string(x.Body))
			errs := make([]error, 1)
			c.Settle(t.Context(), []transport.Settlement{{Delivery: &x, Verb: transport.Ack}}, errs) // may be lost with a server
		}
	}
	if err := servers[leader].Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	send(80, 90)
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for deadline := time.Now().Add(clusterWithin); ; time.Sleep(50 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in %v: %v", what, clusterWithin, err)
		}
	}
}
