package brokers_test

import (
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
)

func TestMain(m *testing.M) {
	brokers.ServeNATSChild()
	os.Exit(m.Run())
}

// use stores one message, or looks whether it is there.
func use(t *testing.T, url string, store bool) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if store {
		if _, err := js.AddStream(&nats.StreamConfig{Name: "s", Subjects: []string{"s"}}); err != nil {
			t.Fatal(err)
		}
		if _, err := js.Publish("s", []byte("x")); err != nil {
			t.Fatal(err)
		}
		return
	}
	if m, err := js.GetMsg("s", 1); err != nil || string(m.Data) != "x" {
		t.Errorf("%v, %v", m, err)
	}
}

func TestNATSRestartKeepsAddressAndData(t *testing.T) {
	n, err := brokers.StartNATS(t.Context(), brokers.NATSConfig{User: "u", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Stop()
	use(t, n.URL, true)
	before := n.URL
	if err := n.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n.URL != before || !strings.Contains(before, "u:p@") {
		t.Errorf("the address was %s and is %s", before, n.URL)
	}
	use(t, n.URL, false)
}

func TestNATSProcessSurvivesKill9(t *testing.T) {
	n := brokerstest.NATS(t, brokers.NATSConfig{User: "u", Password: "p", Own: true})
	use(t, n.URL, true)
	if err := n.Kill9(); err != nil {
		t.Fatal(err)
	}
	if n.Kill9() == nil {
		t.Error("a second Kill9 must say that there is nothing to kill")
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	use(t, n.URL, false)
	if err := n.StartEmpty(t.Context()); err != nil {
		t.Fatal(err)
	}
	use(t, n.URL, true) // there is no such stream any more, so it can be made
}
