package gateway

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/streamerson/streamerson/rpc"
	"golang.org/x/net/http/httpguts"
)

// directFields is the most header fields that respondDirect sorts; more go the long way.
const directFields = 16

// respondDirect writes an ordinary answer onto a direct connection as it comes, and reports whether it did: by way of an
// http.Header it would be taken apart into a map and lists, to be sorted and put together again. Whatever asks for more than
// copying, such as a field that is merged, dropped by another's word or made here, is respond's, as is what isn't valid.
func (x *exchange) respondDirect(resp *rpc.Response, status int) bool {
	w, ok := x.w.(*directWriter)
	if !ok || w.status != 0 || len(w.h) != 1 || w.c.close || len(resp.Header) > directFields-2 || x.g.cfg.ServerTiming ||
		x.r.Method == http.MethodHead || status < 200 || status > 599 || status == http.StatusNoContent || status == http.StatusNotModified ||
		status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		return false
	}
	var array [directFields]rpc.Field
	fields := append(array[:0], rpc.Field{Name: headerRequestID, Value: x.requestID}) // all that w.h has
	if resp.ContentType != "" {
		if !httpguts.ValidHeaderFieldValue(resp.ContentType) {
			return false
		}
		fields = insertField(fields, rpc.Field{Name: "Content-Type", Value: resp.ContentType})
	}
	for i := range resp.Header {
		f := resp.Header[i]
		if f.Name == "" || !all(f.Name, inToken) || !httpguts.ValidHeaderFieldValue(f.Value) {
			return false
		}
		if !canonical(f.Name) {
			f.Name = http.CanonicalHeaderKey(f.Name)
		}
		switch f.Name {
		case "Connection", "Content-Type", "Date":
			return false
		}
		if !x.ownResponseField(f.Name) {
			fields = insertField(fields, f)
		}
	}
	if !w.c.body.pass() {
		w.c.close = true
		return false
	}
	x.status = status
	w.status, w.left = status, int64(len(resp.Body))
	b := appendStatus(*w.buf, status)
	for i := range fields {
		b = append(append(b, fields[i].Name...), ": "...)
		b = append(append(b, strings.Trim(fields[i].Value, " \t")...), "\r\n"...)
	}
	b = append(append(append(b, "Date: "...), httpDate()...), "\r\nContent-Length: "...)
	*w.buf = append(strconv.AppendInt(b, int64(len(resp.Body)), 10), "\r\n\r\n"...)
	w.send(resp.Body)
	if w.failed == nil {
		x.written = len(resp.Body)
	}
	return true
}

// insertField keeps fields sorted by name, and those of one name in their order.
func insertField(fields []rpc.Field, f rpc.Field) []rpc.Field {
	fields = append(fields, f)
	i := len(fields) - 1
	for ; i > 0 && fields[i-1].Name > f.Name; i-- {
		fields[i] = fields[i-1]
	}
	fields[i] = f
	return fields
}
