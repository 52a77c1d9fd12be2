package gateway

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/rpc/wire"
)

const (
	// maxIdempotencyKey is the longest key, in bytes: a handler will keep it.
	maxIdempotencyKey = 255
	maxContentType    = 1024
	// maxRequestID is the longest request id that is taken from outside.
	maxRequestID = 128
	// maxTraceState is what W3C's recommendation asks to be passed on at least.
	maxTraceState = 512
)

// readHeader fills in the request's fields: what the gateway knows first, then what the client sent and may send.
func (x *exchange) readHeader(rt *route, identity string) *problem {
	r, h := x.r, x.req.Header[:0]
	h = append(h,
		rpc.Field{Name: rpc.HeaderMethod, Value: r.Method},
		rpc.Field{Name: rpc.HeaderPath, Value: r.URL.EscapedPath()},
		rpc.Field{Name: rpc.HeaderRequestID, Value: x.requestID},
	)
	if r.URL.RawQuery != "" {
		h = append(h, rpc.Field{Name: rpc.HeaderQuery, Value: r.URL.RawQuery})
	}
	for _, p := range rt.params {
		h = append(h, rpc.Field{Name: p.field, Value: r.PathValue(p.name)})
	}
	if identity != "" {
		h = append(h, rpc.Field{Name: rpc.HeaderIdentity, Value: identity})
	}
	h = append(h, rpc.Field{Name: headerRequestID, Value: x.requestID})
	if r.Host != "" {
		h = append(h, rpc.Field{Name: "Host", Value: r.Host})
	}
	trusted := x.fromProxy()
	h = x.forwarded(h, trusted)
	hideAuthorization := x.g.cfg.Auth != nil && !rt.Public && !x.g.cfg.ForwardAuthorization
	var listed []string
	for _, list := range r.Header["Connection"] {
		listed = appendTokens(listed, list)
	}
	for key, values := range r.Header {
		switch class := x.g.names.class(key); class {
		case classDrop, classConnection, classSet, classTrace, classContent:
			continue
		case classForwarded:
			if !trusted || key == headerForwardedFor || key == headerForwardedProt {
				continue
			}
		case classAuthorization:
			if hideAuthorization {
				continue
			}
		}
		if len(listed) > 0 && slices.Contains(listed, key) {
			continue
		}
		for _, v := range values {
			h = append(h, rpc.Field{Name: key, Value: v})
		}
	}
	x.req.Header = h
	x.trace()
	return x.checkFields()
}

// checkFields reads the fields that have a place of their own and holds all to their limits.
func (x *exchange) checkFields() *problem {
	if v := x.r.Header["Content-Type"]; len(v) > 0 {
		if len(v) > 1 || len(v[0]) > maxContentType {
			return badContentType
		}
		x.req.ContentType = v[0]
	}
	if v := x.r.Header[headerIdempotency]; len(v) > 0 {
		if len(v) > 1 || len(v[0]) > maxIdempotencyKey {
			return badIdempotency
		}
		x.req.IdempotencyKey = v[0]
	}
	bytes := 0
	for i := range x.req.Header {
		bytes += len(x.req.Header[i].Name) + len(x.req.Header[i].Value)
	}
	if len(x.req.Header) > wire.MaxFields || bytes > x.g.cfg.HeaderLimit {
		return headerTooLarge
	}
	return nil
}

// trace takes the caller's trace context if it is well-formed; a span of this process, if there is one, goes before it.
func (x *exchange) trace() {
	v := x.r.Header["Traceparent"]
	if len(v) != 1 || !validTraceParent(v[0]) {
		return
	}
	x.req.Trace = v[0]
	if s := strings.Join(x.r.Header["Tracestate"], ","); len(s) <= maxTraceState {
		x.req.TraceState = s
	}
}

// validTraceParent knows version 00 of W3C's format: 00-<32 hex>-<16 hex>-<2 hex>.
func validTraceParent(s string) bool {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return false
	}
	return hex(s[3:35]) && hex(s[36:52]) && hex(s[53:]) && strings.Trim(s[3:35], "0") != "" && strings.Trim(s[36:52], "0") != ""
}

func hex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func saneRequestID(s string) bool {
	if s == "" || len(s) > maxRequestID {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// fromProxy reports whether the peer of the connection is a trusted proxy.
func (x *exchange) fromProxy() bool {
	if len(x.g.proxies) == 0 {
		return false
	}
	a, err := netip.ParseAddr(clientAddr(x.r.RemoteAddr))
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	return slices.ContainsFunc(x.g.proxies, func(p netip.Prefix) bool { return p.Contains(a) })
}

// forwarded appends who asked, and how: by the gateway's own knowledge, after a trusted proxy's.
func (x *exchange) forwarded(h rpc.Header, trusted bool) rpc.Header {
	client, proto := clientAddr(x.r.RemoteAddr), "http"
	if x.r.TLS != nil {
		proto = "https"
	}
	if trusted {
		if before := strings.Join(x.r.Header[headerForwardedFor], ", "); before != "" {
			client = before + ", " + client
		}
		if v := x.r.Header[headerForwardedProt]; len(v) == 1 && (v[0] == "http" || v[0] == "https") {
			proto = v[0]
		}
	}
	if client != "" {
		h = append(h, rpc.Field{Name: headerForwardedFor, Value: client})
	}
	return append(h, rpc.Field{Name: headerForwardedProt, Value: proto})
}

// clientAddr is a RemoteAddr without its port, "" for what has none, as a Unix socket.
func clientAddr(remote string) string {
	i := strings.LastIndexByte(remote, ':')
	if i < 0 {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(remote[:i], "["), "]")
}
