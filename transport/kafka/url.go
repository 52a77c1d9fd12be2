package kafka

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

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/streamerson/streamerson/transport"
)

// Schemes are the URL schemes that Open understands, for a program that registers it.
var Schemes = []string{"kafka", "kafkas"}

// settings is what a URL says.
type settings struct {
	addrs                []string
	tls                  *tls.Config
	sasl                 sasl.Mechanism
	timeout, dialTimeout time.Duration
	session, drain       time.Duration
	partitions           int32
	replication          int16
	maxBody              int
	// via is the address that all connections go to, instead of those that the broker advertises.
	via string
}

// Defaults of the URL's parameters.
const (
	// defaultTimeout is how long an answer may take before the connection counts as broken (timeout=).
	defaultTimeout = 2 * time.Second
	// defaultDialTimeout bounds connecting with TLS and SASL (dial_timeout=): a broker that is away has to be noticed within 1 s.
	defaultDialTimeout = 750 * time.Millisecond
	// defaultSession is how long a member that is silent keeps its partitions (session=). 6 s is the least that a broker takes
	// unless its group.min.session.timeout.ms is lower.
	defaultSession = 6 * time.Second
	// defaultDrain is how long a rebalance waits for running handlers (drain=). All members of the group's stream wait that long;
	// what is not settled then may run twice.
	defaultDrain = time.Second
	// defaultPartitions bounds the workers that can share a stream (partitions=).
	defaultPartitions = 8
	// defaultMaxBody is set as max.message.bytes of the topics that the driver makes (max_body=).
	defaultMaxBody = 16 << 20
	minTimeout     = 50 * time.Millisecond
	minMaxBody     = 64 << 10
	maxMaxBody     = 90 << 20 // a broker's socket.request.max.bytes is 100 MiB
)

const known = "timeout, dial_timeout, session, drain, partitions, replication, max_body, via, sasl, tls_ca, tls_cert, tls_key, tls_server_name"

func bad(format string, args ...any) error {
	return &transport.Error{Code: transport.CodeInvalid, Op: "open", Msg: fmt.Sprintf(format, args...)}
}

// parseURL reads u; every error names the part that is wrong.
func parseURL(u *url.URL) (*settings, error) {
	s := &settings{
		timeout: defaultTimeout, dialTimeout: defaultDialTimeout, session: defaultSession, drain: defaultDrain,
		partitions: defaultPartitions, replication: -1, maxBody: defaultMaxBody,
	}
	if !slices.Contains(Schemes, u.Scheme) {
		return nil, bad("scheme %q is not known; use one of %s", u.Scheme, strings.Join(Schemes, ", "))
	}
	if u.Host == "" {
		return nil, bad("the URL names no host; it looks like kafka://user:password@host1:9092,host2:9092")
	}
	if strings.Trim(u.Path, "/") != "" {
		return nil, bad("the URL has a path, %q, which means nothing for Kafka", u.Path)
	}
	for a := range strings.SplitSeq(u.Host, ",") {
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), "9092")
		}
		s.addrs = append(s.addrs, a)
	}
	return s, s.parseQuery(u)
}

func (s *settings) parseQuery(u *url.URL) error {
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return bad("the URL's query can't be parsed")
	}
	secure, mechanism := u.Scheme == "kafkas", ""
	tlsFiles := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		v, n := q.Get(name), 0
		switch name {
		case "timeout":
			err = parseDuration(name, v, minTimeout, &s.timeout)
		case "dial_timeout":
			err = parseDuration(name, v, minTimeout, &s.dialTimeout)
		case "session":
			err = parseDuration(name, v, time.Second, &s.session)
		case "drain":
			err = parseDuration(name, v, 0, &s.drain)
		case "partitions":
			n, err = parseInt(name, v, 1, 10_000)
			s.partitions = int32(n) //nolint:gosec // at most 10,000
		case "replication":
			n, err = parseInt(name, v, 1, 100)
			s.replication = int16(n) //nolint:gosec // at most 100
		case "max_body":
			s.maxBody, err = parseInt(name, v, minMaxBody, maxMaxBody)
		case "via":
			if _, _, err := net.SplitHostPort(v); err != nil {
				return bad("parameter via=%q is not host:port", v)
			}
			s.via = v
		case "sasl":
			mechanism = v
		case "tls_ca", "tls_cert", "tls_key", "tls_server_name":
			if !secure {
				return bad("parameter %q needs TLS: use the kafkas:// scheme", name)
			}
			tlsFiles[name] = v
		default:
			return bad("unknown parameter %q; known are %s", name, known)
		}
		if err != nil {
			return err
		}
	}
	if s.drain >= s.session {
		return bad("parameter drain=%v has to be shorter than session=%v", s.drain, s.session)
	}
	if err := s.parseSASL(u.User, mechanism); err != nil {
		return err
	}
	if secure {
		s.tls, err = transport.LoadTLS(tlsFiles, "")
	}
	return err
}

func (s *settings) parseSASL(user *url.Userinfo, mechanism string) (err error) {
	if user == nil {
		if mechanism != "" {
			return bad("parameter sasl=%s needs a user and a password in the URL", mechanism)
		}
		return nil
	}
	name := user.Username()
	password, _ := user.Password()
	switch strings.ToUpper(mechanism) {
	case "", "PLAIN":
		s.sasl = plain.Mechanism{Username: name, Password: password}
	case "SCRAM-SHA-256":
		s.sasl, err = scram.Mechanism(scram.SHA256, name, password)
	case "SCRAM-SHA-512":
		s.sasl, err = scram.Mechanism(scram.SHA512, name, password)
	default:
		return bad("parameter sasl is %q; PLAIN (the default), SCRAM-SHA-256 or SCRAM-SHA-512", mechanism)
	}
	if err != nil {
		return bad("the user or password can't be used for SCRAM") // the cause may show the password
	}
	return nil
}

func parseDuration(name, v string, least time.Duration, d *time.Duration) error {
	n, err := time.ParseDuration(v)
	if err != nil || n < least {
		return bad("parameter %s=%q is not a duration of at least %v, such as 2s", name, v, least)
	}
	*d = n
	return nil
}

func parseInt(name, v string, least, most int) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		return 0, bad("parameter %s=%q is not a number from %d to %d", name, v, least, most)
	}
	return n, nil
}
