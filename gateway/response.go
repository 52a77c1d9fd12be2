package gateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"golang.org/x/net/http/httpguts"
)

// respond writes a worker's answer, once it is known to be one that HTTP can carry.
func (x *exchange) respond(resp *rpc.Response) {
	if resp == nil {
		resp = &rpc.Response{}
	}
	status := resp.Status
	if status == 0 {
		status = http.StatusOK
	}
	if x.respondDirect(resp, status) {
		return
	}
	if status < 200 || status > 599 || !validFields(resp.Header) || !httpguts.ValidHeaderFieldValue(resp.ContentType) {
		x.g.warnings.Do(func() {
			x.g.cfg.Logger.Warn("a worker's answer is not valid HTTP", "route", x.route.pattern, "stream", x.route.Stream, "request_id", x.requestID, "status", status)
		})
		x.fail(badAnswer)
		return
	}
	x.addFields(resp.Header)
	h := x.w.Header()
	bodyAllowed := status != http.StatusNoContent && status != http.StatusNotModified
	switch {
	case resp.ContentType != "":
		h["Content-Type"] = []string{resp.ContentType}
	case h["Content-Type"] == nil:
		h["Content-Type"] = nil // net/http would guess, and a guess of text/html is a script's way in
	}
	if x.g.cfg.ServerTiming {
		h["Server-Timing"] = []string{serverTiming(resp.Timing)}
	}
	if (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) && h["Retry-After"] == nil {
		h["Retry-After"] = []string{retrySeconds(retrySoon)}
	}
	switch {
	case x.r.Method == http.MethodHead:
		if n := headLength(resp); bodyAllowed && n != "" {
			h["Content-Length"] = []string{n}
		}
	case bodyAllowed:
		h["Content-Length"] = []string{strconv.Itoa(len(resp.Body))}
	}
	x.writeHeader(status)
	if bodyAllowed && len(resp.Body) > 0 && x.r.Method != http.MethodHead {
		_, _ = x.write(resp.Body) // a client that left is the only reason to fail
	}
}

// headLength is the Content-Length of an answer to HEAD: of the body that a GET would have.
func headLength(resp *rpc.Response) string {
	if len(resp.Body) > 0 {
		return strconv.Itoa(len(resp.Body))
	}
	v := resp.Header.Get("Content-Length")
	if n, err := strconv.ParseUint(v, 10, 63); err != nil || strconv.FormatUint(n, 10) != v {
		return ""
	}
	return v
}

// validFields reports whether HTTP can carry a worker's header fields: no line break, no name that is not a token.
func validFields(fields rpc.Header) bool {
	for i := range fields {
		if !httpguts.ValidHeaderFieldName(fields[i].Name) || !httpguts.ValidHeaderFieldValue(fields[i].Value) {
			return false
		}
	}
	return true
}

// addFields copies a worker's header fields, which are valid, to the answer; what belongs to a connection or to this system
// is left out.
func (x *exchange) addFields(fields rpc.Header) {
	if len(fields) == 0 {
		return
	}
	h := x.w.Header()
	values := make([]string, 0, len(fields)) // one array for all values
	var listed []string                      // fields that a Connection field makes a matter of one connection
	for i := range fields {
		if len(fields[i].Name) == len("Connection") && strings.EqualFold(fields[i].Name, "Connection") {
			listed = appendTokens(listed, fields[i].Value)
		}
	}
	for i := range fields {
		f := &fields[i]
		key := http.CanonicalHeaderKey(f.Name)
		if x.ownResponseField(key) || slices.Contains(listed, key) {
			continue
		}
		if old := h[key]; old != nil {
			h[key] = append(old[:len(old):len(old)], f.Value)
			continue
		}
		values = append(values, f.Value)
		n := len(values)
		h[key] = values[n-1 : n : n]
	}
}

// appendTokens appends the names in a Connection field, as keys of an http.Header.
func appendTokens(dst []string, list string) []string {
	for token := range strings.SplitSeq(list, ",") {
		dst = append(dst, http.CanonicalHeaderKey(strings.TrimSpace(token)))
	}
	return dst
}

// ownResponseField names what a worker can't set: what belongs to one connection, what the gateway works out itself, and
// this system's own fields.
func (x *exchange) ownResponseField(key string) bool {
	switch key {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Content-Length", "Http2-Settings", "Alt-Svc", headerRequestID:
		return true
	case "Content-Type":
		return false
	case "Server-Timing":
		return x.g.cfg.ServerTiming
	}
	if strings.HasPrefix(key, http.TrailerPrefix) || x.g.names.reserved(key) {
		return true
	}
	return x.cors && strings.HasPrefix(key, "Access-Control-")
}

// serverTiming tells where an answer's time went, in milliseconds.
func serverTiming(t rpc.Timing) string {
	b := make([]byte, 0, 112)
	for _, part := range [...]struct {
		name string
		d    time.Duration
	}{{"publish", t.Publish}, {"queue", t.Queue}, {"handler", t.Handler}, {"reply", t.Reply()}, {"total", t.Total}} {
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		b = append(append(b, part.name...), ";dur="...)
		b = strconv.AppendFloat(b, max(0, part.d.Seconds()*1000), 'f', 3, 64)
	}
	return string(b)
}
