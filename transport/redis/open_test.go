package redis

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

func TestURLErrorsNameWhatIsWrong(t *testing.T) {
	for raw, want := range map[string]string{
		"redis://":                           "names no host",
		"redis://h/x":                        `database "x"`,
		"redis://h/-1":                       `database "-1"`,
		"redis://h?bogus=1":                  `"bogus"`,
		"redis://h?timeout=soon":             `timeout="soon"`,
		"redis://h?timeout=1ms":              `timeout="1ms"`,
		"redis://h?dial_timeout=-2s":         `dial_timeout="-2s"`,
		"redis://h?tls_ca=/x":                "rediss://",
		"rediss://h?tls_ca=/no/such/ca.pem":  "/no/such/ca.pem",
		"rediss://h?tls_cert=/no/such/c.pem": "go together",
		"rediss://h?tls_cert=/no/such/c.pem&tls_key=/no/k.pem": "/no/",
		"redis://a,b":         "2 hosts",
		"redis+sentinel://h":  "master=",
		"redis://h?master=m":  "redis+sentinel",
		"redis+cluster://h/1": "only database 0",
		"redis+blimp://h":     `"redis+blimp"`,
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(t.Context(), u, transport.Options{})
		code(t, err, transport.CodeInvalid)
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error doesn't say %s: %v", raw, want, err)
		}
	}
}

// opening fails as it should and never shows the password.
func openFails(t *testing.T, raw string, want transport.Code) error {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	d, err := Open(within(t, 5*time.Second), u, transport.Options{Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		_ = d.Close(t.Context())
		t.Fatal("it opened")
	}
	code(t, err, want)
	if strings.Contains(err.Error(), "hunter2") {
		t.Fatalf("the error shows the password: %v", err)
	}
	if time.Since(start) > 3*time.Second {
		t.Fatalf("it took %v", time.Since(start))
	}
	return err
}

func TestCredentials(t *testing.T) {
	r := own(t, brokers.RedisConfig{Password: "secret"})
	openFails(t, "redis://"+r.Addr, transport.CodeUnauthenticated)
	openFails(t, "redis://:hunter2@"+r.Addr, transport.CodeUnauthenticated)
	openFails(t, "redis://who:hunter2@"+r.Addr, transport.CodeUnauthenticated)
	d := openWith(t, r.URL, transport.Options{})
	s := name(t)
	ensure(t, d, s)
	accepted(t, d, msgs(s, "x")...)

	adm := goredis.NewClient(&goredis.Options{Addr: r.Addr, Password: "secret"})
	t.Cleanup(func() { _ = adm.Close() })
	if err := adm.Do(t.Context(), "acl", "setuser", "few", "on", ">hunter2", "~*", "+@all", "-config", "-xadd").Err(); err != nil {
		t.Fatal(err)
	}
	few := openWith(t, "redis://few:hunter2@"+r.Addr, transport.Options{})
	if c := few.Capabilities(); c.Durability != transport.DurabilityMemory || !strings.Contains(c.DurabilityNote, "INFO") {
		t.Fatalf("without CONFIG: %v, %s", c.Durability, c.DurabilityNote)
	}
	x := publish(t, few, msgs(s, "x")...)[0]
	code(t, x.Err, transport.CodeDenied)
	if x.Outcome != transport.OutcomeRejected {
		t.Fatal(x.Outcome)
	}
	var e goredis.Error
	if !errors.As(x.Err, &e) {
		t.Fatal("errors.As doesn't reach the client's error")
	}
}

func TestUnreachableBroker(t *testing.T) {
	port, err := brokers.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	openFails(t, "redis://:hunter2@127.0.0.1:"+big.NewInt(int64(port)).String(), transport.CodeUnavailable)
	// One that accepts and says nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	openFails(t, "redis://:hunter2@"+l.Addr().String()+"?timeout=300ms", transport.CodeUnavailable)
	u, _ := url.Parse("redis://" + l.Addr().String())
	start := time.Now()
	_, err = Open(within(t, 200*time.Millisecond), u, transport.Options{})
	code(t, err, transport.CodeTimeout)
	if time.Since(start) > time.Second {
		t.Fatalf("Open outlived its context by %v", time.Since(start))
	}
}

func TestDurabilityIsFoundAndMemoryWarned(t *testing.T) {
	for aof, want := range map[string]transport.Durability{
		"": transport.DurabilityMemory, "everysec": transport.DurabilityProcess, "always": transport.DurabilityFsync,
	} {
		r := own(t, brokers.RedisConfig{AOF: aof})
		var log bytes.Buffer
		d := openWith(t, r.URL, transport.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if got := d.Capabilities().Durability; got != want {
			t.Errorf("appendfsync %q: %v, want %v", aof, got, want)
		}
		if warned := strings.Contains(log.String(), "appendonly yes"); warned != (aof == "") {
			t.Errorf("appendfsync %q: the log says %q", aof, log.String())
		}
	}
}

// certificates writes a CA and a server's certificate for 127.0.0.1.
func certificates(t *testing.T) (files brokers.RedisTLS) {
	t.Helper()
	dir := t.TempDir()
	write := func(file, kind string, der []byte) string {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := write("cert.pem", "CERTIFICATE", der)
	return brokers.RedisTLS{CertFile: cert, KeyFile: write("key.pem", "EC PRIVATE KEY", pk), CAFile: cert}
}

func TestTLS(t *testing.T) {
	files := certificates(t)
	r := own(t, brokers.RedisConfig{TLS: &files, Password: "secret"})
	d := openWith(t, r.URL+"&tls_cert="+files.CertFile+"&tls_key="+files.KeyFile, transport.Options{})
	s := name(t)
	ensure(t, d, s)
	accepted(t, d, msgs(s, "over TLS", strings.Repeat("x", 1<<20))...)
	c := join(t, d, 0)
	ok(t, settle(t, c, transport.Ack, receive(t, c, s, 2, 5*time.Second)...))
	// A broker whose certificate nobody vouches for, one with another name, and one spoken to without TLS.
	openFails(t, "rediss://:hunter2@"+r.Addr, transport.CodeUnavailable)
	openFails(t, r.URL+"&tls_server_name=other", transport.CodeUnavailable)
	openFails(t, "redis://:hunter2@"+r.Addr+"?timeout=500ms", transport.CodeUnavailable)
}

// works sends requests and a reply through a driver.
func works(t *testing.T, d *Driver, streams ...string) {
	t.Helper()
	ensure(t, d, streams...)
	tl, err := d.Tail(t.Context(), transport.TailSpec{})
	if err != nil {
		t.Fatal(err)
	}
	c := join(t, d, 0)
	for _, s := range streams {
		accepted(t, d, msgs(s, "x")...)
	}
	credits := make([]transport.Credit, len(streams))
	for i, s := range streams {
		credits[i] = transport.Credit{Stream: s, Max: 2}
	}
	for got := 0; got < len(streams); {
		ds, err := c.Receive(within(t, 5*time.Second), 8, credits)
		if err != nil {
			t.Fatal(err)
		}
		for i := range ds {
			errs := make([]error, 1)
			c.Settle(t.Context(), []transport.Settlement{{
				Delivery: &ds[i], Verb: transport.Ack, Reply: &transport.Message{Stream: tl.Address(), Lane: true, Body: ds[i].Body},
			}}, errs)
			ok(t, errs)
		}
		got += len(ds)
	}
	for got := 0; got < len(streams); {
		b, err := tl.Receive(within(t, 5*time.Second), 10)
		if err != nil {
			t.Fatal(err)
		}
		got += len(b)
	}
	for _, s := range streams {
		eventually(t, 3*time.Second, "all is settled, and a consumer lives", func() bool {
			l := lag(t, d, s)
			return l.Pending == 0 && l.Waiting == 0 && l.Consumers == 1
		})
	}
}

func TestClusterWithSeveralSlots(t *testing.T) {
	const nodes = 3
	var rs []*brokers.Redis
	var adms []*goredis.Client
	for range nodes {
		r := own(t, brokers.RedisConfig{Cluster: true})
		rs, adms = append(rs, r), append(adms, admin(t, r.Addr))
	}
	for i, a := range adms {
		if err := a.ClusterAddSlotsRange(t.Context(), i*16384/nodes, (i+1)*16384/nodes-1).Err(); err != nil {
			t.Fatal(err)
		}
		host, port, _ := net.SplitHostPort(rs[i].Addr)
		if err := adms[0].ClusterMeet(t.Context(), host, port).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range adms {
		eventually(t, 20*time.Second, "the cluster is up", func() bool {
			info := a.ClusterInfo(t.Context()).Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:3")
		})
	}
	d := openWith(t, "redis+cluster://"+rs[0].Addr+","+rs[1].Addr, transport.Options{})
	if d.Capabilities().Connections != 0 {
		t.Fatal("in a Cluster the connections grow with the nodes")
	}
	works(t, d, "a", "b", "c", "d", "e", "f", "g")
	works(t, d, "one")
}

func TestSentinelFindsTheMasterAgain(t *testing.T) {
	master, replica := own(t, brokers.RedisConfig{}), own(t, brokers.RedisConfig{})
	host, port, _ := net.SplitHostPort(master.Addr)
	if err := admin(t, replica.Addr).ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, []byte("sentinel monitor main "+host+" "+port+" 1\nsentinel down-after-milliseconds main 700\nsentinel failover-timeout main 3000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	watch := own(t, brokers.RedisConfig{ConfigFile: conf, Args: []string{"--sentinel"}})
	sadm := admin(t, watch.Addr)
	eventually(t, 15*time.Second, "the sentinel knows the replica", func() bool {
		return strings.Contains(sadm.Info(t.Context(), "sentinel").Val(), "slaves=1")
	})
	eventually(t, 15*time.Second, "the replica is in sync", func() bool {
		return strings.Contains(admin(t, replica.Addr).Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	d := openWith(t, "redis+sentinel://"+watch.Addr+"/0?master=main&timeout=1s", transport.Options{})
	works(t, d, "before")
	if err := master.Kill9(); err != nil {
		t.Fatal(err)
	}
	if err := d.Ensure(context.Background(), []transport.StreamSpec{{Stream: "after", Groups: []string{group}}}); err == nil {
		t.Fatal("the master is dead")
	}
	eventually(t, 20*time.Second, "the replica took over", func() bool {
		return d.Ensure(within(t, time.Second), []transport.StreamSpec{{Stream: "after", Groups: []string{group}}}) == nil
	})
	works(t, d, "after")
}
