package gateway

import (
	"bytes"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync"

	"golang.org/x/net/http/httpguts"
)

// What a byte may be a part of.
const (
	inToken  = 1 << iota // a field name (RFC 9110, 5.6.2)
	inValue              // a field value: visible ASCII, blanks, tabs
	inTarget             // a request target: visible ASCII
	inPath               // a path that is the same escaped and unescaped
	inMethod
)

var byteIn = sync.OnceValue(func() *[256]uint8 {
	var t [256]uint8
	for i := range t {
		c := byte(i)
		letter, digit := c|0x20 >= 'a' && c|0x20 <= 'z', c >= '0' && c <= '9'
		if letter || digit || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 {
			t[i] |= inToken
		}
		if c >= ' ' && c <= '~' || c == '\t' {
			t[i] |= inValue
		}
		if c > ' ' && c <= '~' {
			t[i] |= inTarget
		}
		if letter || digit || strings.IndexByte("-._~/", c) >= 0 {
			t[i] |= inPath
		}
		if c >= 'A' && c <= 'Z' {
			t[i] |= inMethod
		}
	}
	return &t
})()

func all(s string, in uint8) bool {
	for i := range len(s) {
		if byteIn[s[i]]&in == 0 {
			return false
		}
	}
	return true
}

// headEnd finds the end of a header, 0 while it has not come. Of b, the first seen bytes were looked at before. It reports
// false for what is not read here, as soon as that shows: nobody waits for the rest of what is no HTTP, or of a header with
// bare line feeds.
func headEnd(b []byte, seen int) (end int, ok bool) {
	if byteIn[b[0]]&inMethod == 0 {
		return 0, false
	}
	for p := seen; ; {
		i := bytes.IndexByte(b[p:], '\n')
		if i < 0 {
			return 0, true
		}
		p += i + 1
		if p < 2 || b[p-2] != '\r' {
			return 0, false
		}
		if p >= 4 && b[p-3] == '\n' {
			return p, true
		}
	}
}

// parseHead reads a header into the request, if it is of the narrow kind that two readers can't take for different ones:
//   - a method in capitals, a target that begins with "/", HTTP/1.1;
//   - lines that end in CR LF, names of tokens right before their colon, values of visible ASCII, nothing continued;
//   - one Host; at most one Content-Length, of digits alone; no Transfer-Encoding, Expect, Upgrade or Trailer; no
//     Connection but a lone keep-alive or close.
//
// It returns the body's length. Everything else is net/http's.
func (c *directConn) parseHead(head string) (length int64, ok bool) {
	line, rest, _ := strings.Cut(head, "\r\n")
	method, line, _ := strings.Cut(line, " ")
	target, proto, _ := strings.Cut(line, " ")
	if proto != "HTTP/1.1" || method == "" || !all(method, inMethod) || method == http.MethodConnect ||
		target == "" || target[0] != '/' || !all(target, inTarget) || !c.parseTarget(target) {
		return 0, false
	}
	*c.req = *c.blank
	r := c.req
	r.Method, r.RequestURI, r.URL = method, target, &c.url
	r.Proto, r.ProtoMajor, r.ProtoMinor, r.RemoteAddr = proto, 1, 1, c.remote
	clear(c.header)
	clear(c.values)
	c.values, c.close, length = c.values[:0], false, -1
	for {
		line, rest, _ = strings.Cut(rest, "\r\n")
		if line == "" {
			break
		}
		name, value, colon := strings.Cut(line, ":")
		if value = strings.Trim(value, " \t"); !colon || name == "" || !all(name, inToken) || !all(value, inValue) {
			return 0, false
		}
		key := name
		if !canonical(name) {
			key = textproto.CanonicalMIMEHeaderKey(name)
		}
		switch key {
		case "Host":
			if r.Host != "" || value == "" || !httpguts.ValidHostHeader(value) {
				return 0, false
			}
			r.Host = value
			continue
		case "Content-Length":
			n, valid := digits(value)
			if length >= 0 || !valid {
				return 0, false
			}
			length = n
		case "Transfer-Encoding", "Expect", "Upgrade", "Trailer":
			return 0, false
		case "Connection":
			if c.close || !strings.EqualFold(value, "keep-alive") && !strings.EqualFold(value, "close") {
				return 0, false
			}
			c.close = strings.EqualFold(value, "close")
		}
		c.addField(key, value)
	}
	if p := c.header["Pragma"]; len(p) > 0 && p[0] == "no-cache" && c.header["Cache-Control"] == nil { // as net/http does
		c.header["Cache-Control"] = []string{"no-cache"}
	}
	r.Header, r.ContentLength, r.Close = c.header, max(0, length), c.close
	return r.ContentLength, r.Host != ""
}

// addField puts single values into one array.
func (c *directConn) addField(key, value string) {
	if old := c.header[key]; old != nil {
		c.header[key] = append(old, value)
		return
	}
	c.values = append(c.values, value)
	n := len(c.values)
	c.header[key] = c.values[n-1 : n : n]
}

func (c *directConn) parseTarget(target string) bool {
	path, query, mark := strings.Cut(target, "?")
	if all(path, inPath) && mark == (query != "") {
		c.url = url.URL{Path: path, RawQuery: query}
		return true
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return false
	}
	c.url = *u
	return true
}

// canonical reports whether a name of token characters is written as http.Header's keys are.
func canonical(name string) bool {
	upper := true
	for i := range len(name) {
		c := name[i]
		if upper && c >= 'a' && c <= 'z' || !upper && c >= 'A' && c <= 'Z' {
			return false
		}
		upper = c == '-'
	}
	return true
}

// digits reads a length of at most 18 digits, which fits into 63 bits.
func digits(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
