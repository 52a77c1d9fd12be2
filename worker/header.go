package worker

import (
	"net/http"
	"slices"
	"strings"

	"github.com/streamerson/streamerson/rpc"
	"golang.org/x/net/http/httpguts"
)

// HeaderTimeout tells a Forward target how much time is left, in whole milliseconds: the deadline's form that needs no
// common clock and that a server in any language can read.
const HeaderTimeout = rpc.HeaderPrefix + "timeout-ms"

// role is what a header field means when a message becomes an HTTP request or the other way round.
type role uint8

const (
	rolePlain role = iota
	roleDrop       // belongs to one connection, or pretends to be one of ours
	roleConnection
	roleHost
	roleLength
	roleMethod
	rolePath
	roleQuery
	roleParam
	roleIdentity
	roleRequestID
)

// roleOf sorts a field by its name without allocating. The hop-by-hop set is that of net/http/httputil's proxy.
func roleOf(name string) role {
	switch len(name) {
	case 2:
		return when(name, "te", roleDrop)
	case 4:
		return when(name, "host", roleHost)
	case 7:
		if strings.EqualFold(name, "trailer") {
			return roleDrop
		}
		return when(name, "upgrade", roleDrop)
	case 10:
		if strings.EqualFold(name, "connection") {
			return roleConnection
		}
		return when(name, "keep-alive", roleDrop)
	}
	if reserved(name) {
		return reservedRole(name)
	}
	switch len(name) {
	case 14:
		return when(name, "content-length", roleLength)
	case 16:
		return when(name, "proxy-connection", roleDrop)
	case 17:
		return when(name, "transfer-encoding", roleDrop)
	case 18:
		return when(name, "proxy-authenticate", roleDrop)
	case 19:
		return when(name, "proxy-authorization", roleDrop)
	}
	return rolePlain
}

func when(name, is string, r role) role {
	if strings.EqualFold(name, is) {
		return r
	}
	return rolePlain
}

// reserved reports whether name begins with rpc.HeaderPrefix in any spelling that a server may take for it: CGI-like
// gateways read '_' and some also '.' as '-'.
func reserved(name string) bool {
	if len(name) < len(rpc.HeaderPrefix) {
		return false
	}
	for i := range len(rpc.HeaderPrefix) {
		c := name[i]
		switch {
		case c == '_' || c == '.':
			c = '-'
		case 'A' <= c && c <= 'Z':
			c |= 0x20
		}
		if c != rpc.HeaderPrefix[i] {
			return false
		}
	}
	return true
}

func reservedRole(name string) role {
	switch {
	case strings.EqualFold(name, rpc.HeaderMethod):
		return roleMethod
	case strings.EqualFold(name, rpc.HeaderPath):
		return rolePath
	case strings.EqualFold(name, rpc.HeaderQuery):
		return roleQuery
	case strings.EqualFold(name, rpc.HeaderIdentity):
		return roleIdentity
	case strings.EqualFold(name, rpc.HeaderRequestID):
		return roleRequestID
	case len(name) > len(rpc.HeaderParam) && strings.EqualFold(name[:len(rpc.HeaderParam)], rpc.HeaderParam):
		return roleParam
	}
	return roleDrop
}

// values builds an http.Header whose single values share one array.
type values struct {
	header http.Header
	array  []string
}

func newValues(n int) values { return values{make(http.Header, n), make([]string, 0, n)} }

// add appends a value under a canonical key.
func (v *values) add(key, value string) {
	if old := v.header[key]; old != nil {
		v.header[key] = append(old, value)
		return
	}
	v.array = append(v.array, value)
	n := len(v.array)
	v.header[key] = v.array[n-1 : n : n]
}

// addOnce adds a value unless the key has one.
func (v *values) addOnce(key, value string) {
	if v.header[key] == nil {
		v.add(key, value)
	}
}

// replace makes value the key's only one, unless it is "".
func (v *values) replace(key, value string) {
	if value != "" {
		v.header[key] = nil
		v.add(key, value)
	}
}

var newlines = strings.NewReplacer("\n", " ", "\r", " ")

// appendFields appends h to dst as net/http would write it: invalid names are left out, line breaks become blanks. What
// belongs to one connection, is set by this system only, or is in skip stays behind.
func appendFields(dst rpc.Header, h http.Header, skip func(key string) bool) rpc.Header {
	var named []string // fields that a Connection field makes hop-by-hop
	for _, list := range h["Connection"] {
		for token := range strings.SplitSeq(list, ",") {
			named = append(named, http.CanonicalHeaderKey(strings.TrimSpace(token)))
		}
	}
	for key, vs := range h {
		if roleOf(key) != rolePlain || skip(key) || slices.Contains(named, key) || !httpguts.ValidHeaderFieldName(key) {
			continue
		}
		for _, v := range vs {
			if strings.ContainsAny(v, "\r\n") {
				v = newlines.Replace(v)
			}
			dst = append(dst, rpc.Field{Name: key, Value: strings.Trim(v, " \t")})
		}
	}
	return dst
}
