package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/streamerson/streamerson/rpc"
	"golang.org/x/net/http/httpguts"
)

// Names of header fields that the gateway reads or sets, as keys of an http.Header.
const (
	headerRequestID     = "X-Request-Id"
	headerTimeout       = "X-Request-Timeout"
	headerIdempotency   = "Idempotency-Key"
	headerAuthorization = "Authorization"
	headerForwardedFor  = "X-Forwarded-For"
	headerForwardedProt = "X-Forwarded-Proto"
)

// DefaultIdentityHeaders are names that services behind gateways are known to believe. They never come from outside.
func DefaultIdentityHeaders() []string { return slices.Clone(identityHeaders) }

var identityHeaders = []string{
	"X-User-Id", "X-User", "X-Userid", "X-User-Name", "X-Username", "X-User-Email", "X-User-Role", "X-User-Roles", "X-User-Groups",
	"X-Auth-User", "X-Auth-Userid", "X-Auth-Email", "X-Auth-Username", "X-Authenticated-User", "X-Authenticated-Userid",
	"X-Authenticated-Groups", "X-Authenticated-Scope", "X-Remote-User", "Remote-User", "X-Identity", "X-Account-Id",
	"X-Consumer-Id", "X-Consumer-Username", "X-Credential-Identifier", "X-Client-Cert", "X-Ssl-Client-Cert",
}

// fieldClass says what becomes of a request's header field.
type fieldClass uint8

const (
	classPlain      fieldClass = iota
	classDrop                  // of one connection, an identity, ours, or read by the gateway alone
	classForwarded             // believed only of a trusted proxy
	classSet                   // the gateway writes it itself
	classContent               // Content-Type
	classTrace                 // traceparent, tracestate
	classConnection            // drop, and what it lists
	classAuthorization
)

// names sorts header fields by their normalised names.
type names struct {
	exact  map[string]fieldClass
	longBy int // the longest name in exact
}

// prefixes of names, normalised.
var prefixes = []struct {
	prefix string
	class  fieldClass
}{
	{rpc.HeaderPrefix, classDrop},
	{"x-forwarded-", classDrop}, // but for those in exact; oauth2-proxy's X-Forwarded-User and the like are identities
	{"x-auth-request-", classDrop},
	{"ssl-client-", classDrop},
	{"x-jwt-", classDrop},
	{"x-goog-authenticated-", classDrop},
	{"x-amzn-oidc-", classDrop},
	{"x-ms-client-principal", classDrop},
}

func newNames(identity []string) (names, error) {
	n := names{exact: map[string]fieldClass{
		// Hop by hop (RFC 9110, 7.6.1), or meant for this hop.
		"connection": classConnection, "keep-alive": classDrop, "proxy-connection": classDrop, "proxy-authenticate": classDrop,
		"proxy-authorization": classDrop, "te": classDrop, "trailer": classDrop, "transfer-encoding": classDrop, "upgrade": classDrop,
		"http2-settings": classDrop, "expect": classDrop, "content-length": classDrop, "host": classDrop,
		// "Proxy" becomes HTTP_PROXY in a CGI's environment; the next two name another path than the one that was matched.
		"proxy": classDrop, "x-original-url": classDrop, "x-rewrite-url": classDrop, "x-http-method-override": classDrop,
		"x-http-method": classDrop, "x-method-override": classDrop,
		// Who sent it, in the words of proxies.
		"x-forwarded-for": classForwarded, "x-forwarded-proto": classForwarded, "x-forwarded-host": classForwarded,
		"x-forwarded-port": classForwarded, "x-forwarded-prefix": classForwarded, "forwarded": classForwarded, "x-real-ip": classForwarded,
		"true-client-ip": classForwarded, "cf-connecting-ip": classForwarded, "x-client-ip": classForwarded, "x-cluster-client-ip": classForwarded,
		// Read or written here.
		"x-request-id": classSet, "x-request-timeout": classSet, "idempotency-key": classSet, "content-type": classContent,
		"traceparent": classTrace, "tracestate": classTrace, "authorization": classAuthorization,
	}}
	for _, name := range identityHeaders {
		n.exact[string(normalise(nil, name))] = classDrop
	}
	for i, name := range identity {
		if !httpguts.ValidHeaderFieldName(name) {
			return n, fmt.Errorf("gateway: Config.IdentityHeaders[%d]: %q is not a header name", i, name)
		}
		n.exact[string(normalise(nil, name))] = classDrop
	}
	for name := range n.exact {
		n.longBy = max(n.longBy, len(name))
	}
	return n, nil
}

// normalise appends name as the most careless reader may take it: in lower case, and all but letters and digits as "-". CGI
// and its successors make _ of - and upper case of lower, some of them for every character that an environment can't have.
func normalise(dst []byte, name string) []byte {
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		default:
			c = '-'
		}
		dst = append(dst, c)
	}
	return dst
}

// class of a key of an http.Header. A field that means something here in another than its own spelling is dropped: only
// somebody who wants it to be taken for something else writes it so.
func (n *names) class(key string) fieldClass {
	var array [64]byte
	name := normalise(array[:0], key[:min(len(key), len(array))])
	if len(key) <= n.longBy {
		if c, ok := n.exact[string(name)]; ok {
			if c != classDrop && c != classConnection && !ownSpelling(key) {
				return classDrop
			}
			return c
		}
	}
	for i := range prefixes {
		if p := &prefixes[i]; len(name) >= len(p.prefix) && string(name[:len(p.prefix)]) == p.prefix {
			return p.class
		}
	}
	return classPlain
}

// ownSpelling reports whether a key has no other separator than "-".
func ownSpelling(key string) bool {
	for i := range len(key) {
		if c := key[i]; c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

// reserved reports whether a name is one of this system's own, in any spelling.
func (n *names) reserved(key string) bool {
	if len(key) < len(rpc.HeaderPrefix) {
		return false
	}
	var array [len(rpc.HeaderPrefix)]byte
	return strings.HasPrefix(string(normalise(array[:0], key[:len(array)])), rpc.HeaderPrefix)
}
