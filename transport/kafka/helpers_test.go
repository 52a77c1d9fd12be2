package kafka

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/streamerson/streamerson/conformance"
	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/internal/brokers/brokerstest"
	"github.com/streamerson/streamerson/transport"
)

const group = "workers"

// loaded is what a busy machine may add to a bound that is stated for an idle one.
const loaded = 10 * time.Second

// shared is the broker of all tests; those that hurt it bring it back.
var shared *brokers.Kafka

func TestMain(m *testing.M) {
	conformance.ServeChild(openQuiet)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	dir, err := os.MkdirTemp("", "streamerson-pem-")
	if err == nil {
		err = writePEM(filepath.Join(dir, "server.pem"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	pemFile = filepath.Join(dir, "server.pem")
	k, err := brokerstest.StartKafka(ctx, brokers.KafkaConfig{User: "app", Password: "se:cret", PEM: pemFile})
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	shared = k
	code := m.Run()
	k.Stop()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, "goroutines are left:", err)
			code = 1
		}
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// pemFile holds the shared broker's key and certificate.
var pemFile string

// writePEM writes a new key and a certificate for 127.0.0.1 that vouches for itself.
func writePEM(path string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return os.WriteFile(path, append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...), 0o600)
}

func openURL(ctx context.Context, rawURL string, opts transport.Options) (transport.Driver, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return Open(ctx, u, opts)
}

// ours is a broker that may be killed: the shared one, unless that comes from the environment.
func ours(t testing.TB) *brokers.Kafka {
	t.Helper()
	if shared.Controllable() {
		return shared
	}
	return brokerstest.Kafka(t, brokers.KafkaConfig{User: "app", Password: "se:cret", PEM: pemFile, Own: true})
}

func open(t testing.TB, opts transport.Options) *Driver { return openOn(t, shared, opts) }

func openOn(t testing.TB, k *brokers.Kafka, opts transport.Options) *Driver {
	t.Helper()
	d, err := openURL(within(t, 3*loaded), k.URL, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close(context.Background()) })
	return d.(*Driver)
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func newStream(t testing.TB, d *Driver) string {
	t.Helper()
	s := "t" + newID()
	if err := d.Ensure(within(t, 3*loaded), []transport.StreamSpec{{Stream: s, Groups: []string{group}}}); err != nil {
		t.Fatal(err)
	}
	return s
}

func join(t testing.TB, d *Driver) transport.Consumer {
	t.Helper()
	c, err := d.Join(t.Context(), transport.Subscription{Group: group})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// send publishes bodies one by one, so that they spread over the partitions.
func send(t testing.TB, d *Driver, s string, bodies ...string) {
	t.Helper()
	r := make([]transport.Result, 1)
	for _, b := range bodies {
		if d.Publish(within(t, 3*loaded), []transport.Message{{Stream: s, Body: []byte(b)}}, r); r[0].Err != nil {
			t.Fatal(r[0].Err)
		}
	}
}

func receive(t testing.TB, c transport.Consumer, limit time.Duration, n int, s string) (got []transport.Delivery) {
	t.Helper()
	ctx := within(t, limit)
	for len(got) < n {
		ds, err := c.Receive(ctx, n-len(got), []transport.Credit{{Stream: s, Max: n - len(got)}})
		if err != nil && ctx.Err() != nil {
			t.Fatalf("%d of %d deliveries came within %v: %v", len(got), n, limit, err)
		}
		got = append(got, ds...)
	}
	return got
}

func ack(t testing.TB, c transport.Consumer, ds ...transport.Delivery) {
	t.Helper()
	for i := range ds {
		errs := make([]error, 1)
		if c.Settle(t.Context(), []transport.Settlement{{Delivery: &ds[i], Verb: transport.Ack}}, errs); errs[0] != nil {
			t.Fatal(errs[0])
		}
	}
}

// crash ends a driver as kill -9 would: its connections break, and it neither commits nor leaves.
func crash(d *Driver) { d.cl.links.close() }
