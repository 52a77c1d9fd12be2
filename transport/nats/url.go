package nats

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/streamerson/streamerson/transport"
)

// Schemes are the URL schemes that Open understands, for a program that registers it.
var Schemes = []string{"nats", "nats+tls", "nats+core", "nats+core+tls"}

// settings is what a URL says.
type settings struct {
	core                 bool
	servers              []string
	auth                 []natsgo.Option
	tls                  *tls.Config
	timeout, dialTimeout time.Duration
	replicas             int
	storage              jetstream.StorageType
	dedup                bool
	inboxPrefix          string
}

// Defaults of the URL's parameters.
const (
	// defaultTimeout is how long an answer may take before the outcome counts as unknown (timeout=).
	defaultTimeout = 2 * time.Second
	// defaultDialTimeout bounds connecting and the TLS handshake (dial_timeout=).
	defaultDialTimeout = time.Second
	minTimeout         = 50 * time.Millisecond
	defaultInboxPrefix = "_INBOX"
)

const knownParameters = "timeout, dial_timeout, replicas, storage, dedup, inbox_prefix, token, creds, nkey, tls_ca, tls_cert, tls_key, tls_server_name"

func bad(format string, args ...any) error {
	return &transport.Error{Code: transport.CodeInvalid, Op: "open", Msg: fmt.Sprintf(format, args...)}
}

// parseURL reads u; every error names the part that is wrong.
func parseURL(u *url.URL) (*settings, error) {
	s := &settings{timeout: defaultTimeout, dialTimeout: defaultDialTimeout, replicas: 1, storage: jetstream.FileStorage, dedup: true, inboxPrefix: defaultInboxPrefix}
	if !slices.Contains(Schemes, u.Scheme) {
		return nil, bad("scheme %q is not known; use one of %s", u.Scheme, strings.Join(Schemes, ", "))
	}
	s.core = strings.HasPrefix(u.Scheme, "nats+core")
	secure := strings.HasSuffix(u.Scheme, "+tls")
	if u.Host == "" {
		return nil, bad("the URL names no host; it looks like nats://user:password@host:4222")
	}
	if strings.Trim(u.Path, "/") != "" {
		return nil, bad("the URL has the path %q; NATS has none", u.Path)
	}
	for a := range strings.SplitSeq(u.Host, ",") {
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), "4222")
		}
		s.servers = append(s.servers, "nats://"+a)
	}
	if u.User != nil {
		password, _ := u.User.Password()
		s.auth = append(s.auth, natsgo.UserInfo(u.User.Username(), password))
	}
	return s, s.parseQuery(u, secure)
}

func (s *settings) parseQuery(u *url.URL, secure bool) error {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("the URL's query can't be parsed")
	}
	files := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		v := q.Get(name)
		switch name {
		case "timeout":
			err = parseDuration(name, v, &s.timeout)
		case "dial_timeout":
			err = parseDuration(name, v, &s.dialTimeout)
		case "token", "creds", "nkey":
			err = s.parseAuth(name, v)
		case "replicas", "storage", "dedup":
			err = s.parseStore(name, v)
		case "inbox_prefix":
			if strings.ContainsAny(v, " \t\r\n*>") || strings.Trim(v, ".") != v || v == "" {
				return bad("parameter inbox_prefix=%q is not a subject", v)
			}
			s.inboxPrefix = v
		case "tls_ca", "tls_cert", "tls_key", "tls_server_name":
			if !secure {
				return bad("parameter %q needs TLS: use the nats+tls:// or nats+core+tls:// scheme", name)
			}
			files[name] = v
		default:
			return bad("unknown parameter %q; known are %s", name, knownParameters)
		}
		if err != nil {
			return err
		}
	}
	if len(s.auth) > 1 {
		return bad("the URL has several credentials; give one of user and password, token, creds, nkey")
	}
	if secure {
		host, _, _ := net.SplitHostPort(strings.TrimPrefix(s.servers[0], "nats://"))
		s.tls, err = transport.LoadTLS(files, host)
	}
	return err
}

func (s *settings) parseAuth(name, v string) error {
	switch name {
	case "token":
		s.auth = append(s.auth, natsgo.Token(v))
	case "creds":
		if _, err := os.Stat(v); err != nil { //nolint:gosec // the file that the user names
			return bad("creds: %v", err)
		}
		s.auth = append(s.auth, natsgo.UserCredentials(v))
	case "nkey":
		opt, err := natsgo.NkeyOptionFromSeed(v)
		if err != nil {
			return bad("nkey: %v", err)
		}
		s.auth = append(s.auth, opt)
	}
	return nil
}

func (s *settings) parseStore(name, v string) error {
	if s.core {
		return bad("parameter %q is for JetStream; nats+core:// stores nothing", name)
	}
	if name == "dedup" {
		on, err := strconv.ParseBool(v)
		if err != nil {
			return bad("parameter dedup=%q is neither true nor false", v)
		}
		s.dedup = on
		return nil
	}
	if name == "replicas" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > 5 {
			return bad("parameter replicas=%q is not a number from 1 to 5", v)
		}
		s.replicas = n
		return nil
	}
	switch v {
	case "file":
		s.storage = jetstream.FileStorage
	case "memory":
		s.storage = jetstream.MemoryStorage
	default:
		return bad("parameter storage is %q; file (the default) or memory", v)
	}
	return nil
}

func parseDuration(name, v string, d *time.Duration) error {
	n, err := time.ParseDuration(v)
	if err != nil || n < minTimeout {
		return bad("parameter %s=%q is not a duration of at least %v, such as 2s", name, v, minTimeout)
	}
	*d = n
	return nil
}
