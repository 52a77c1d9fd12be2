package nats

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/streamerson/streamerson/internal/brokers"
	"github.com/streamerson/streamerson/transport"
)

// within this process: its options can be set.
func embedded(t *testing.T, configure func(*natsserver.Options)) *brokers.NATS {
	t.Helper()
	n, err := brokers.StartNATS(t.Context(), brokers.NATSConfig{Configure: configure})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Stop)
	return n
}

// answers opens a driver, or checks the code of the refusal, and lets one message through.
func answers(t *testing.T, name, rawURL string, code transport.Code) {
	t.Helper()
	d, err := Open(t.Context(), parse(t, rawURL), transport.Options{Logger: slog.New(slog.DiscardHandler)})
	if code != 0 || err != nil {
		if !transport.IsCode(err, code) {
			t.Errorf("%s: %v, want %v", name, err, code)
		}
		if d != nil {
			_ = d.Close(t.Context())
		}
		return
	}
	c := ensure(t, d.(*Driver), transport.StreamSpec{Stream: "s", Groups: []string{"workers"}})
	accepted(t, d.(*Driver), transport.Message{Stream: "s", Body: []byte(name)})
	if got := get(t, c, "s"); got != name {
		t.Errorf("%s: got %q", name, got)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Errorf("%s: close: %v", name, err)
	}
}

func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func keys(t *testing.T, create func() (nkeys.KeyPair, error)) (pair nkeys.KeyPair, public string, seed []byte) {
	t.Helper()
	pair, err := create()
	if err != nil {
		t.Fatal(err)
	}
	if public, err = pair.PublicKey(); err != nil {
		t.Fatal(err)
	}
	if seed, err = pair.Seed(); err != nil {
		t.Fatal(err)
	}
	return pair, public, seed
}

func TestUserPasswordAndToken(t *testing.T) {
	n := embedded(t, func(o *natsserver.Options) { o.Username, o.Password = "u", "p" })
	answers(t, "user and password", "nats://u:p@"+n.Addr, 0)
	answers(t, "wrong password", "nats://u:x@"+n.Addr, transport.CodeUnauthenticated)
	answers(t, "nothing", "nats://"+n.Addr, transport.CodeUnauthenticated)
	n = embedded(t, func(o *natsserver.Options) { o.Authorization = "secret" })
	answers(t, "token", "nats://"+n.Addr+"?token=secret", 0)
	answers(t, "wrong token", "nats://"+n.Addr+"?token=x", transport.CodeUnauthenticated)
}

func TestNkey(t *testing.T) {
	_, public, seed := keys(t, nkeys.CreateUser)
	_, _, other := keys(t, nkeys.CreateUser)
	n := embedded(t, func(o *natsserver.Options) { o.Nkeys = []*natsserver.NkeyUser{{Nkey: public}} })
	answers(t, "nkey", "nats://"+n.Addr+"?nkey="+url.QueryEscape(file(t, "seed", seed)), 0)
	answers(t, "another nkey", "nats://"+n.Addr+"?nkey="+url.QueryEscape(file(t, "seed", other)), transport.CodeUnauthenticated)
}

// A server of an operator, with JetStream for one account.
func TestCreds(t *testing.T) {
	operator, operatorID, _ := keys(t, nkeys.CreateOperator)
	accounts := &natsserver.MemAccResolver{}
	account := func(stores bool) (id string, creds []byte) {
		pair, id, _ := keys(t, nkeys.CreateAccount)
		claims := jwt.NewAccountClaims(id)
		if stores {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
		}
		text, err := claims.Encode(operator)
		if err != nil {
			t.Fatal(err)
		}
		if err := accounts.Store(id, text); err != nil {
			t.Fatal(err)
		}
		_, user, seed := keys(t, nkeys.CreateUser)
		text, err = jwt.NewUserClaims(user).Encode(pair)
		if err != nil {
			t.Fatal(err)
		}
		if creds, err = jwt.FormatUserConfig(text, seed); err != nil {
			t.Fatal(err)
		}
		return id, creds
	}
	system, _ := account(false)
	_, good := account(true)
	_, without := account(false)
	n := embedded(t, func(o *natsserver.Options) {
		o.TrustedKeys, o.AccountResolver, o.SystemAccount = []string{operatorID}, accounts, system
	})
	// Another operator's account, which this server doesn't know.
	operator, _, _ = keys(t, nkeys.CreateOperator)
	accounts = &natsserver.MemAccResolver{}
	_, foreign := account(true)
	answers(t, "creds", "nats://"+n.Addr+"?creds="+url.QueryEscape(file(t, "good.creds", good)), 0)
	answers(t, "another operator's creds", "nats://"+n.Addr+"?creds="+url.QueryEscape(file(t, "foreign.creds", foreign)), transport.CodeUnauthenticated)
	answers(t, "an account without JetStream", "nats://"+n.Addr+"?creds="+url.QueryEscape(file(t, "without.creds", without)), transport.CodeUnsupported)
}

// A missing permission is told at once, and named.
func TestMissingPermission(t *testing.T) {
	n := embedded(t, func(o *natsserver.Options) {
		o.Users = []*natsserver.User{{Username: "u", Password: "p", Permissions: &natsserver.Permissions{
			Publish: &natsserver.SubjectPermission{Deny: []string{"$JS.API.>"}},
		}}}
	})
	answers(t, "no $JS.API", "nats://u:p@"+n.Addr+"?timeout=500ms", transport.CodeDenied)
}

// certificate makes a key pair for 127.0.0.1, signed by itself, and writes it to two files.
func certificate(t *testing.T) (pair tls.Certificate, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	if pair, err = tls.X509KeyPair(certPEM, keyPEM); err != nil {
		t.Fatal(err)
	}
	return pair, file(t, "cert.pem", certPEM), file(t, "key.pem", keyPEM)
}

func TestTLS(t *testing.T) {
	pair, ca, key := certificate(t)
	_, otherCA, otherKey := certificate(t)
	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(cert)
	serve := func(verify tls.ClientAuthType) *brokers.NATS {
		return embedded(t, func(o *natsserver.Options) {
			// A slow machine's handshake may take longer than the default.
			o.TLSTimeout = 10
			o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientAuth: verify, ClientCAs: pool}
		})
	}
	const slow = "&dial_timeout=10s"
	n := serve(tls.NoClientCert)
	answers(t, "TLS", "nats+tls://"+n.Addr+"?tls_ca="+url.QueryEscape(ca)+slow, 0)
	answers(t, "another authority", "nats+tls://"+n.Addr+"?tls_ca="+url.QueryEscape(otherCA)+slow, transport.CodeUnavailable)
	answers(t, "another name", "nats+tls://"+n.Addr+"?tls_server_name=elsewhere&tls_ca="+url.QueryEscape(ca)+slow, transport.CodeUnavailable)
	answers(t, "no authority", "nats://"+n.Addr+"?dial_timeout=10s", transport.CodeUnavailable)
	n = serve(tls.RequireAndVerifyClientCert)
	answers(t, "client certificate", "nats+tls://"+n.Addr+"?tls_ca="+url.QueryEscape(ca)+"&tls_cert="+url.QueryEscape(ca)+"&tls_key="+url.QueryEscape(key)+slow, 0)
	answers(t, "no client certificate", "nats+tls://"+n.Addr+"?tls_ca="+url.QueryEscape(ca)+slow, transport.CodeUnavailable)
	answers(t, "another client certificate", "nats+tls://"+n.Addr+"?tls_ca="+url.QueryEscape(ca)+"&tls_cert="+url.QueryEscape(otherCA)+"&tls_key="+url.QueryEscape(otherKey)+slow, transport.CodeUnavailable)
	plain := embedded(t, nil)
	answers(t, "a server without TLS", "nats+tls://"+plain.Addr+"?tls_ca="+url.QueryEscape(ca)+slow, transport.CodeUnavailable)
}
