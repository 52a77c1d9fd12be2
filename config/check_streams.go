package config

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

func (k *checker) routes() {
	mux := http.NewServeMux()
	type earlier struct {
		index int
		match string
	}
	var good []earlier
	for i, r := range k.c.Gateway.Routes {
		at := fmt.Sprintf("gateway.routes[%d]", i)
		if r.Match != "" {
			match := Pattern(r.Match)
			switch msg := checkMatch(match); {
			case msg != "":
				k.bad(at+".match", "%s", msg)
			case !register(mux, match):
				for _, e := range good {
					if pair := http.NewServeMux(); register(pair, e.match) && !register(pair, match) {
						k.conflict(at+".match", match, e.index, e.match)
						break
					}
				}
			default:
				good = append(good, earlier{i, match})
			}
		}
		if r.Stream != "" {
			k.name(at+".stream", r.Stream)
		}
		if r.BodyLimit < 0 || r.InFlight < 0 {
			k.bad(at+".in_flight", "this can't be negative; leave it out for no limit of its own")
		}
		if r.Pack && r.OneWay {
			k.bad(at+".pack", "one-way requests are never packed; leave out pack or one_way")
		}
	}
}

func (k *checker) conflict(path, match string, with int, other string) {
	place := fmt.Sprintf("gateway.routes[%d]", with)
	if p := k.c.Where(place); p.Line > 0 {
		place = fmt.Sprintf("line %d", p.Line)
	}
	if match == other {
		k.bad(path, "%q is routed already in %s; remove one of the two", match, place)
		return
	}
	k.bad(path, "%q and %q in %s match the same requests, and neither is the more exact one; change one of them", match, other, place)
}

// register reports whether the pattern fits beside those that mux has.
func register(mux *http.ServeMux, pattern string) (ok bool) {
	defer func() { ok = recover() == nil }() // ServeMux tells a conflict by a panic only
	mux.Handle(pattern, http.NotFoundHandler())
	return true
}

// Pattern is a match with its :name segments, which other routers know, as {name}.
func Pattern(match string) string {
	segments := strings.Split(match, "/")
	for i, seg := range segments {
		if name, colon := strings.CutPrefix(seg, ":"); colon && name != "" && i > 0 {
			segments[i] = "{" + name + "}"
		}
	}
	return strings.Join(segments, "/")
}

// checkMatch says what is wrong with a route's match, "" for nothing.
func checkMatch(match string) string {
	method, path, ok := strings.Cut(match, " ")
	path = strings.TrimLeft(path, " ")
	switch {
	case strings.HasPrefix(match, "/"):
		return fmt.Sprintf("%q has no method; write GET %s", match, match)
	case !ok || !strings.HasPrefix(path, "/"):
		return fmt.Sprintf("%q is not a method and a path; write it like GET /posts/{id}", match)
	case method == http.MethodConnect || method == http.MethodTrace:
		return method + " is never served by a gateway; remove this route"
	case method != strings.ToUpper(method):
		return fmt.Sprintf("methods are in capitals; write %s %s", strings.ToUpper(method), path)
	}
	for seg := range strings.SplitSeq(path, "/") {
		if seg == "*" {
			return "a * is not a pattern here; write {rest...} at the end for any path below"
		}
	}
	if !register(http.NewServeMux(), match) {
		return fmt.Sprintf("%q is not a pattern; parameters are whole segments {name}, each name once, {rest...} and {$} only at the end", match)
	}
	return ""
}

// name checks a stream's or group's name by the rule that all brokers keep: 1–200 characters of [A-Za-z0-9._-], not . or - first.
func (k *checker) name(path, s string) {
	if s == "" || len(s) > 200 {
		k.bad(path, "a name has 1 to 200 characters, this one %d", len(s))
		return
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || i > 0 && (c == '.' || c == '-')) {
			k.bad(path, "%q can't be a name: it has %q; allowed are A–Z a–z 0–9 . _ - (not . or - first)", s, c)
			return
		}
	}
}

func (k *checker) worker(use Use) {
	w := k.c.Worker
	k.name("worker.group", w.Group)
	if w.Slots < 1 {
		k.bad("worker.slots", "this must be at least 1")
	}
	if w.Lease < Duration(100*time.Millisecond) {
		k.bad("worker.lease", "%s leaves no time to renew it; write at least 100ms", w.Lease)
	}
	if w.MaxAttempts < 1 {
		k.bad("worker.max_attempts", "this must be at least 1")
	}
	if use&UseWorker != 0 && len(w.Streams) == 0 {
		k.missing("worker.streams", "a worker needs at least one stream, such as - name: posts")
	}
	first, sum := map[string]int{}, 0
	for i, s := range w.Streams {
		at := fmt.Sprintf("worker.streams[%d]", i)
		if s.Name != "" {
			k.name(at+".name", s.Name)
			if j, dup := first[s.Name]; dup {
				k.bad(at+".name", "stream %q is listed already as worker.streams[%d]; remove one of the two", s.Name, j)
			} else {
				first[s.Name] = i
			}
		}
		k.share(at, s, w.Slots)
		sum += max(s.Min, 0)
	}
	if w.Slots >= 1 && sum > w.Slots {
		k.bad("worker.streams", "the streams reserve %d slots together (min) and the worker has %d; lower a min or raise worker.slots", sum, w.Slots)
	}
	if w.Forward != "" {
		k.httpURL("worker.forward", w.Forward, "http://127.0.0.1:3000")
		if u, err := url.Parse(w.Forward); err == nil && (u.RawQuery != "" || u.Fragment != "") {
			k.bad("worker.forward", "this address has a query or fragment, and each request brings its own; remove it")
		}
	}
	if w.Forward == "" && len(w.Functions) > 0 {
		k.bad("worker.functions", "functions give request lines to forwarded calls; set worker.forward as well, or remove them")
	}
	for f, line := range w.Functions {
		if msg := checkMatch(line); msg != "" || strings.ContainsAny(line, "{}") {
			k.bad("worker.functions."+f, "%q is not a request line; write a method and a path without parameters, such as GET /posts", line)
		}
	}
}

// share checks one stream's part of the slots.
func (k *checker) share(at string, s Stream, slots int) {
	if s.Min < 0 {
		k.bad(at+".min", "this can't be negative")
	}
	if s.Weight < 1 {
		k.bad(at+".weight", "this must be at least 1")
	}
	switch {
	case s.Max < 0:
		k.bad(at+".max", "this can't be negative; 0 means all slots")
	case s.Max > 0 && s.Min > s.Max:
		k.bad(at+".min", "min %d is more than max %d; lower it or raise max", s.Min, s.Max)
	case s.Max > slots:
		k.bad(at+".max", "max %d is more than the worker's %d slots; lower it or raise worker.slots", s.Max, slots)
	}
	if s.MaxBacklog < 0 {
		k.bad(at+".max_backlog", "this must not be negative")
	}
}
