package worker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/streamerson/streamerson/rpc"
	"golang.org/x/net/http/httpguts"
)

// inbound is a request on its way from a stream to an HTTP handler or server. It is the request's context as well, which
// saves an allocation and lets Identity tell such a request from one that came over a socket.
type inbound struct {
	context.Context
	message *rpc.Request
	url     url.URL
	body    body
	lines   map[string]requestLine // by function, for messages without a request line
}

// requestLine is method, escaped path and raw query.
type requestLine struct{ method, path, query string }

// parseLine reads "GET /posts?page=1"; the method may be left out and is then POST.
func parseLine(s string) (requestLine, error) {
	method, target, ok := strings.Cut(strings.TrimSpace(s), " ")
	if !ok {
		method, target = http.MethodPost, method
	}
	l := requestLine{method: method}
	l.path, l.query, _ = strings.Cut(strings.TrimSpace(target), "?")
	var probe inbound
	if l.path == "" || !httpguts.ValidHeaderFieldName(method) || probe.parse(l.path, l.query) != nil {
		return l, fmt.Errorf("%q is not a request line; it looks like GET /posts", s)
	}
	return l, nil
}

type inboundKey struct{}

// Value answers for this package's key and leaves the rest to the handler's context.
func (in *inbound) Value(key any) any {
	if key == (inboundKey{}) {
		return in
	}
	return in.Context.Value(key)
}

// Identity returns the authenticated caller, as the gateway or the calling service set it: the one identity that a handler
// may trust. It is "" for an anonymous caller, and for every request that came over a socket, where a client can write any
// header. The same value stands in r.Header under rpc.HeaderIdentity.
func Identity(r *http.Request) string { return reservedField(r, rpc.HeaderIdentity) }

// RequestID returns the id that people see in logs, "" when there is none or when r came over a socket.
func RequestID(r *http.Request) string { return reservedField(r, rpc.HeaderRequestID) }

func reservedField(r *http.Request, name string) string {
	if in, ok := r.Context().Value(inboundKey{}).(*inbound); ok {
		return in.message.Header.Get(name)
	}
	return ""
}

// unknownAddr is RemoteAddr of requests from a stream: it parses, and it is nobody's.
const unknownAddr = "0.0.0.0:0"

// request fills in and makes the HTTP request that req stands for. The error is an *rpc.Error that names what is wrong.
func (in *inbound) request(ctx context.Context, req *rpc.Request) (*http.Request, error) {
	in.Context, in.message = ctx, req
	var method, path, query, host string
	var params []rpc.Field
	var named []string
	h := newValues(fieldsOf(req))
	for i := range req.Header {
		f := &req.Header[i]
		switch roleOf(f.Name) {
		case rolePlain:
			if !httpguts.ValidHeaderFieldName(f.Name) || !httpguts.ValidHeaderFieldValue(f.Value) {
				return nil, rpc.Errorf(rpc.CodeInvalidArgument, "header field %.40q can't be sent as HTTP: a character is not allowed", f.Name)
			}
			h.add(http.CanonicalHeaderKey(f.Name), f.Value)
		case roleConnection:
			named = append(named, strings.Split(f.Value, ",")...)
		case roleHost:
			host = f.Value
		case roleMethod:
			method = f.Value
		case rolePath:
			path = f.Value
		case roleQuery:
			query = f.Value
		case roleParam:
			params = append(params, rpc.Field{Name: f.Name[len(rpc.HeaderParam):], Value: f.Value})
		case roleIdentity:
			h.addOnce("X-Streamerson-Identity", f.Value)
		case roleRequestID:
			h.addOnce("X-Streamerson-Request-Id", f.Value)
		}
	}
	for _, n := range named {
		if key := http.CanonicalHeaderKey(strings.TrimSpace(n)); !reserved(key) {
			delete(h.header, key)
		}
	}
	in.ownFields(&h, req)
	if method == "" {
		method = http.MethodPost
		if line, ok := in.lines[req.Function]; ok && path == "" {
			method, path, query = line.method, line.path, line.query
		}
	} else if !httpguts.ValidHeaderFieldName(method) { // a method is a token, as a field name is
		return nil, rpc.Errorf(rpc.CodeInvalidArgument, "%s %.40q is not an HTTP method", rpc.HeaderMethod, method)
	}
	if path == "" {
		in.url.Path = "/" + strings.TrimPrefix(req.Function, "/")
		path = in.url.EscapedPath()
		in.url.RawQuery = query
	} else if err := in.parse(path, query); err != nil {
		return nil, err
	}
	uri := path
	if query != "" {
		uri += "?" + query
	}
	if host == "" {
		host = req.Stream
	}
	in.body.Reset(req.Body)
	r := (&http.Request{
		Method: method, URL: &in.url, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h.header, Body: http.NoBody,
		ContentLength: int64(len(req.Body)), Host: host, RequestURI: uri, RemoteAddr: unknownAddr,
	}).WithContext(in)
	if len(req.Body) > 0 {
		r.Body = &in.body
	}
	for _, p := range params {
		r.SetPathValue(p.Name, p.Value)
	}
	return r, nil
}

// ownFields adds what a message carries beside its header.
func (in *inbound) ownFields(h *values, req *rpc.Request) {
	h.replace("Content-Type", req.ContentType)
	h.replace("Idempotency-Key", req.IdempotencyKey)
	if req.Trace != "" {
		h.replace("Traceparent", req.Trace)
		h.replace("Tracestate", req.TraceState)
	}
}

// fieldsOf is how many header fields the HTTP request will have, about: a map that is made for eight or less is a third as
// large as the next.
func fieldsOf(req *rpc.Request) int {
	n := 0
	for i := range req.Header {
		if name := req.Header[i].Name; !strings.HasPrefix(name, rpc.HeaderPrefix) || name == rpc.HeaderIdentity || name == rpc.HeaderRequestID {
			n++
		}
	}
	for _, own := range [...]string{req.ContentType, req.IdempotencyKey, req.Trace, req.TraceState} {
		if own != "" {
			n++
		}
	}
	return n
}

// parse sets the URL of an escaped path, which must begin with a slash, and a raw query.
func (in *inbound) parse(path, query string) error {
	if path == "*" || plainPath(path) {
		in.url.Path, in.url.RawQuery = path, query
		return nil
	}
	// A "?" or an absolute URL in the path would be read as something other than a path.
	if path[0] == '/' && !strings.Contains(path, "?") {
		if u, err := url.ParseRequestURI(path); err == nil {
			in.url, in.url.RawQuery = *u, query
			return nil
		}
	}
	return rpc.Errorf(rpc.CodeInvalidArgument, "%s %.80q is not an escaped path that begins with /", rpc.HeaderPath, path)
}

// plainPath reports whether a path is the same escaped and unescaped.
func plainPath(p string) bool {
	for i := range len(p) {
		c := p[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '-' && c <= '9' || c == '_' || c == '~' {
			continue // '-' to '9' holds '.' and '/' as well
		}
		return false
	}
	return p[0] == '/'
}

// body is a request's body. Like net/http's it refuses reads after Close.
type body struct {
	bytes.Reader
	closed bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.Read(p)
}

// WriteTo lets io.Copy skip its buffer.
func (b *body) WriteTo(w io.Writer) (int64, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.WriteTo(w)
}

func (b *body) Close() error {
	b.closed = true
	return nil
}
