package redis

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamerson/streamerson/transport"
)

// Schemes are the URL schemes that Open understands, for a program that registers it.
var Schemes = []string{"redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"}

type mode uint8

const (
	single mode = iota
	sentinel
	cluster
)

// settings is what a URL says.
type settings struct {
	mode                   mode
	addrs                  []string
	db                     int
	username, password     string
	tls                    *tls.Config
	master                 string
	sentinelUser, sentinel string
	timeout, dialTimeout   time.Duration
	viaClient              bool // codec=go-redis: nothing goes by the direct path
}

// Defaults of the URL's parameters.
const (
	// defaultTimeout is how long an answer may take before the connection counts as broken (timeout=). Redis stalls for
	// hundreds of milliseconds when it forks with much memory; a broker that is silent for 2 s is better dropped.
	defaultTimeout = 2 * time.Second
	// defaultDialTimeout bounds connecting and the TLS handshake (dial_timeout=).
	defaultDialTimeout = time.Second
	minTimeout         = 50 * time.Millisecond
)

func bad(format string, args ...any) error {
	return &transport.Error{Code: transport.CodeInvalid, Op: "open", Msg: fmt.Sprintf(format, args...)}
}

// parseURL reads u; every error names the part that is wrong.
func parseURL(u *url.URL) (*settings, error) {
	s := &settings{timeout: defaultTimeout, dialTimeout: defaultDialTimeout}
	scheme, kind, _ := strings.Cut(u.Scheme, "+")
	switch kind {
	case "sentinel":
		s.mode = sentinel
	case "cluster":
		s.mode = cluster
	case "":
	default:
		return nil, bad("scheme %q is not known; use one of %s", u.Scheme, strings.Join(Schemes, ", "))
	}
	if scheme != "redis" && scheme != "rediss" {
		return nil, bad("scheme %q is not known; use one of %s", u.Scheme, strings.Join(Schemes, ", "))
	}
	if err := s.parseHosts(u.Host); err != nil {
		return nil, err
	}
	if u.User != nil {
		s.username = u.User.Username()
		s.password, _ = u.User.Password()
	}
	if err := s.parseDB(u.Path); err != nil {
		return nil, err
	}
	return s, s.parseQuery(u, scheme == "rediss")
}

func (s *settings) parseHosts(host string) error {
	if host == "" {
		return bad("the URL names no host; it looks like redis://user:password@host:6379/0")
	}
	port := "6379"
	if s.mode == sentinel {
		port = "26379"
	}
	for a := range strings.SplitSeq(host, ",") {
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), port)
		}
		s.addrs = append(s.addrs, a)
	}
	if s.mode == single && len(s.addrs) > 1 {
		return bad("the URL names %d hosts; several are for redis+sentinel:// and redis+cluster://", len(s.addrs))
	}
	return nil
}

func (s *settings) parseDB(path string) error {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	n, err := strconv.Atoi(path)
	if err != nil || n < 0 {
		return bad("database %q in the URL's path is not a number ≥ 0", path)
	}
	if s.mode == cluster && n != 0 {
		return bad("database %d: a Redis Cluster has only database 0", n)
	}
	s.db = n
	return nil
}

func (s *settings) parseQuery(u *url.URL, secure bool) error {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("the URL's query can't be parsed")
	}
	tlsFiles := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		v := q.Get(name)
		switch name {
		case "timeout":
			err = parseDuration(name, v, &s.timeout)
		case "dial_timeout":
			err = parseDuration(name, v, &s.dialTimeout)
		case "codec":
			if v != "direct" && v != "go-redis" {
				return bad("parameter codec is %q; direct (the default) or go-redis", v)
			}
			s.viaClient = v == "go-redis"
		case "master":
			s.master = v
		case "sentinel_username":
			s.sentinelUser = v
		case "sentinel_password":
			s.sentinel = v
		case "tls_ca", "tls_cert", "tls_key", "tls_server_name":
			if !secure {
				return bad("parameter %q needs TLS: use the rediss:// scheme", name)
			}
			tlsFiles[name] = v
		default:
			return bad("unknown parameter %q; known are timeout, dial_timeout, codec, tls_ca, tls_cert, tls_key, tls_server_name, master, sentinel_username, sentinel_password", name)
		}
		if err != nil {
			return err
		}
	}
	if s.mode == sentinel && s.master == "" {
		return bad("redis+sentinel:// needs the parameter master=NAME, the name that the sentinels watch")
	}
	if s.mode != sentinel && (s.master != "" || s.sentinelUser != "" || s.sentinel != "") {
		return bad("parameters master, sentinel_username and sentinel_password are for redis+sentinel://")
	}
	if secure {
		host, _, _ := net.SplitHostPort(s.addrs[0])
		s.tls, err = transport.LoadTLS(tlsFiles, host)
	}
	return err
}

func parseDuration(name, v string, d *time.Duration) error {
	n, err := time.ParseDuration(v)
	if err != nil || n < minTimeout {
		return bad("parameter %s=%q is not a duration of at least %v, such as 2s", name, v, minTimeout)
	}
	*d = n
	return nil
}
