package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// checker collects what is wrong with a configuration that could be read.
type checker struct {
	c        *Config
	problems []Problem
}

func (k *checker) bad(path, format string, args ...any) {
	k.problems = append(k.problems, Problem{Position: k.c.Where(path), Path: path, Message: fmt.Sprintf(format, args...)})
}

func (c *Config) check(opts Options) []Problem {
	k := &checker{c: c}
	k.transport(opts.Use)
	k.gateway(opts.Use)
	k.routes()
	k.worker(opts.Use)
	k.rest()
	k.tags(reflect.ValueOf(c).Elem(), "")
	if !opts.SkipFiles {
		k.files()
	}
	return k.problems
}

// missing reports a setting that the program can't do without; where no file was read at all, that is what to tell.
func (k *checker) missing(path, format string, args ...any) {
	if k.c.file == "" && len(k.c.source) == 0 {
		format += "; no configuration file was read: name one with -c"
	}
	k.bad(path, format, args...)
}

func (k *checker) transport(use Use) {
	t := k.c.Transport
	if t.URL == "" {
		if use&UseTransport != 0 {
			k.missing("transport.url", "a broker is needed; give its address, such as redis://127.0.0.1:6379/0, here or in %sTRANSPORT_URL", EnvPrefix)
		}
		return
	}
	u, err := url.Parse(t.URL)
	if err != nil || u.Scheme == "" || u.Opaque != "" {
		// The parser's own error would repeat the URL, and with it a password.
		k.bad("transport.url", "this is not a URL; write it like redis://user:password@host:6379/0 (a password's / ? # @ as %%2F %%3F %%23 %%40)")
		return
	}
	query := u.Query()
	for name := range t.Params {
		if query.Has(name) {
			k.bad("transport.params."+name, "transport.url has %s in its query already; keep one of the two", name)
		}
	}
}

func (k *checker) listen(path, addr string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		k.bad(path, "%q is not an address to listen on; write host:port, such as 127.0.0.1:8080 or :8080", addr)
		return
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		k.bad(path, "port %q is not a number from 0 to 65535", port)
	}
	if strings.Contains(host, "/") {
		k.bad(path, "%q is not a host; write host:port without http://", host)
	}
}

func (k *checker) positive(path string, d Duration) {
	if d <= 0 {
		k.bad(path, "this must be more than 0; write a duration like 5s")
	}
}

func (k *checker) gateway(use Use) {
	g := k.c.Gateway
	k.listen("gateway.listen", g.Listen)
	switch {
	case g.TLS.Cert != "" && g.TLS.Key == "":
		k.bad("gateway.tls.cert", "a certificate needs its private key; set gateway.tls.key as well")
	case g.TLS.Key != "" && g.TLS.Cert == "":
		k.bad("gateway.tls.key", "a private key needs its certificate; set gateway.tls.cert as well")
	}
	k.positive("gateway.timeouts.header", g.Timeouts.Header)
	k.positive("gateway.timeouts.read", g.Timeouts.Read)
	k.positive("gateway.timeouts.write", g.Timeouts.Write)
	k.positive("gateway.timeouts.idle", g.Timeouts.Idle)
	k.positive("gateway.timeouts.call", g.Timeouts.Call)
	if g.Limits.Body <= 0 {
		k.bad("gateway.limits.body", "this must be more than 0; write a size like 8MiB")
	}
	if g.Limits.Header < 4<<10 {
		k.bad("gateway.limits.header", "%s is too small for the headers that browsers send; write at least 4KiB", g.Limits.Header)
	}
	if g.Limits.Header > 64<<10 {
		k.bad("gateway.limits.header", "%s is more than a message carries; write at most 64KiB", g.Limits.Header)
	}
	if g.Limits.InFlight < 1 {
		k.bad("gateway.limits.in_flight", "this must be at least 1")
	}
	for i, o := range g.CORS.Origins {
		k.origin(fmt.Sprintf("gateway.cors.origins[%d]", i), o)
	}
	for i, p := range g.TrustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			if _, err := netip.ParseAddr(p); err != nil {
				k.bad(fmt.Sprintf("gateway.trusted_proxies[%d]", i), "%q is neither an address nor a network; write 10.1.2.3 or 10.0.0.0/8", p)
			}
		}
	}
	if g.Auth.JWT != nil {
		k.jwt(g.Auth.JWT)
	}
	if use&UseGateway != 0 && len(g.Routes) == 0 {
		k.missing("gateway.routes", "a gateway needs at least one route, such as - {match: POST /posts, stream: posts}")
	}
}

func (k *checker) origin(path, o string) {
	u, err := url.Parse(o)
	switch {
	case strings.Contains(o, "*"):
		k.bad(path, "%q: origins are exact, a * would let every page in; list each origin, such as https://app.example.org", o)
	case err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "":
		k.bad(path, "%q is not an origin; write scheme://host or scheme://host:port, without a path or a / at its end", o)
	case strings.ToLower(o) != o:
		k.bad(path, "%q has capitals, and browsers send none; write %q", o, strings.ToLower(o))
	}
}

// jwtAlgorithms are those that a token may be pinned to.
var jwtAlgorithms = []string{
	"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512",
}

func (k *checker) jwt(j *JWT) {
	const at = "gateway.auth.jwt"
	hmac := 0
	for i, a := range j.Algorithms {
		if !slices.Contains(jwtAlgorithms, a) {
			k.bad(fmt.Sprintf("%s.algorithms[%d]", at, i), "%q is not an algorithm that can be allowed; choose from %s", a, strings.Join(jwtAlgorithms, ", "))
		}
		if strings.HasPrefix(a, "HS") {
			hmac++
		}
	}
	if hmac != 0 && hmac != len(j.Algorithms) {
		// A public key taken for an HMAC secret is the classic forgery.
		k.bad(at+".algorithms", "HS… algorithms (a shared secret) can't be mixed with the others (a public key); keep one kind")
		hmac = 0
	}
	sources := 0
	for _, s := range []string{j.KeyFile, j.JWKSFile, j.SecretFile} {
		if s != "" {
			sources++
		}
	}
	switch {
	case sources != 1:
		k.bad(at, "exactly one of key_file, jwks_file and secret_file is needed; %d are set", sources)
	case hmac > 0 && j.SecretFile == "":
		k.bad(at+".algorithms", "%s needs secret_file", j.Algorithms[0])
	case hmac == 0 && j.SecretFile != "" && len(j.Algorithms) > 0:
		k.bad(at+".secret_file", "a shared secret goes with HS256, HS384 or HS512; %s needs key_file or jwks_file", j.Algorithms[0])
	}
	if j.Leeway > Duration(5*time.Minute) {
		k.bad(at+".leeway", "%s would accept tokens long expired; write at most 5m", j.Leeway)
	}
}

func (k *checker) rest() {
	if k.c.Admin.Listen != "" {
		k.listen("admin.listen", k.c.Admin.Listen)
	}
	if e := k.c.Tracing.Endpoint; e != "" {
		k.httpURL("tracing.endpoint", e, "http://127.0.0.1:4318")
	}
	if s := k.c.Tracing.Sample; s < 0 || s > 1 {
		k.bad("tracing.sample", "%v is not a share; write a number from 0 to 1", s)
	}
}

func (k *checker) httpURL(path, raw, example string) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		k.bad(path, "this is not an HTTP address; write one like %s", example)
	}
}

// tags checks what the struct tags say: required settings and closed sets of words.
func (k *checker) tags(v reflect.Value, path string) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct {
		for i := range v.Len() {
			k.tags(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	}
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		key := tag.Get("yaml")
		if key == "" {
			continue
		}
		at, f := join(path, key), v.Field(i)
		if tag.Get("required") != "" && (f.IsZero() || f.Kind() == reflect.Slice && f.Len() == 0) {
			k.bad(at, "this setting is required; add %s:", key)
		}
		if words := tag.Get("enum"); words != "" && !slices.Contains(strings.Split(words, ","), f.String()) {
			msg := fmt.Sprintf("%q is not known; choose from %s", f.String(), strings.ReplaceAll(words, ",", ", "))
			if near := nearest(f.String(), strings.Split(words, ",")); near != "" {
				msg = fmt.Sprintf("%q is not known; did you mean %s? (known are %s)", f.String(), near, strings.ReplaceAll(words, ",", ", "))
			}
			k.bad(at, "%s", msg)
		}
		k.tags(f, at)
	}
}

// files checks that each file that is named can be read, so that a missing certificate shows before the first request.
func (k *checker) files() {
	k.c.eachFile(reflect.ValueOf(k.c).Elem(), "", func(path string, v reflect.Value) {
		name := v.String()
		if name == "" {
			return
		}
		f, err := os.Open(name) //nolint:gosec // the operator names the file
		if err != nil {
			k.bad(path, "%s can't be read: %s; correct the path or create the file", name, reason(err))
			return
		}
		if info, err := f.Stat(); err == nil && info.IsDir() {
			k.bad(path, "%s is a folder; name a file", name)
		}
		_ = f.Close()
	})
}
