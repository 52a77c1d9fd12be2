package config

import (
	"strings"
	"testing"
)

// TestProblems has one configuration for each thing that can be wrong, with the whole message that a person sees.
func TestProblems(t *testing.T) {
	tests := []struct {
		name, text string
		use        Use
		env        []string
		want       []string
	}{
		{"unknown key", "gateway:\n  listn: :1\n", 0, nil, []string{"streamerson.yaml:2:3: gateway.listn: unknown key; did you mean listen?"}},
		{"unknown section", "gatway: {}\n", 0, nil, []string{"streamerson.yaml:1:1: gatway: unknown key; did you mean gateway?"}},
		{"key in the wrong section", "pprof: true\n", 0, nil, []string{"streamerson.yaml:1:1: pprof: unknown key; it belongs in admin.pprof"}},
		{"no such key", "log: {shoe_size: 1}\n", 0, nil, []string{"streamerson.yaml:1:7: log.shoe_size: unknown key; known here are level, format"}},
		{"dash for underscore", "gateway:\n  server-timing: true\n", 0, nil, []string{"streamerson.yaml:2:3: gateway.server-timing: unknown key; did you mean server_timing?"}},
		{"in a list", "worker:\n  streams:\n  - name: a\n    wieght: 2\n", 0, nil, []string{"streamerson.yaml:4:5: worker.streams[0].wieght: unknown key; did you mean weight?"}},
		{"carriage returns", "log:\r\n  levle: info\r\n", 0, nil, []string{"streamerson.yaml:2:3: log.levle: unknown key; did you mean level?"}},
		{"twice", "log:\n  level: info\n  level: warn\n", 0, nil, []string{"streamerson.yaml:3:3: log.level: this key is here a second time, first in line 2; keep one"}},
		{"not YAML", "gateway: [1\n", 0, nil, []string{"streamerson.yaml:1:10: this is not YAML: sequence end token ']' not found"}},
		{"a tab", "gateway:\n\tlisten: :1\n", 0, nil, []string{"streamerson.yaml:2:1: this is not YAML: found character '\t' that cannot start any token"}},
		{"two documents", "log: {level: info}\n---\nlog: {level: warn}\n", 0, nil, []string{"streamerson.yaml:3:1: a second document begins here; put everything in one"}},
		{"a list for the file", "- a\n", 0, nil, []string{"streamerson.yaml:1:1: this must be a section with keys of its own (transport, gateway, worker, admin, log, tracing), not a list"}},
		{"merge", "log:\n  <<: {level: info}\n", 0, nil, []string{"streamerson.yaml:2:3: log: merge keys (<<) are not read; write the keys out"}},
		{"alias", "log: {level: *a}\n", 0, nil, []string{"streamerson.yaml:1:14: log.level: *a names no anchor above"}},
		{"a number for text", "worker: {group: 5}\n", 0, nil, []string{"streamerson.yaml:1:17: worker.group: this must be text, not the number 5; put it in quotes if it is meant so"}},
		{"a word for a number", "worker:\n  slots: many\n", 0, nil, []string{`streamerson.yaml:2:10: worker.slots: this must be a whole number, not "many"`}},
		{"a fraction", "worker: {slots: 1.5}\n", 0, nil, []string{`streamerson.yaml:1:17: worker.slots: this must be a whole number, not "1.5"`}},
		{"yes for true", "gateway: {server_timing: yes}\n", 0, nil, []string{`streamerson.yaml:1:26: gateway.server_timing: this must be true or false, not "yes"`}},
		{"a word for a list", "gateway: {trusted_proxies: 10.0.0.0/8}\n", 0, nil, []string{`streamerson.yaml:1:28: gateway.trusted_proxies: this must be a list, as in [a, b], not the text "10.0.0.0/8"`}},
		{"a list for a duration", "worker: {lease: [1s]}\n", 0, nil, []string{"streamerson.yaml:1:17: worker.lease: this must be a duration like 250ms or 2s, not a list"}},
		{"a section for text", "worker: {group: {a: b}}\n", 0, nil, []string{"streamerson.yaml:1:17: worker.group: this must be text, not a section"}},
		{"no unit", "worker: {lease: 5}\n", 0, nil, []string{"streamerson.yaml:1:17: worker.lease: 5 has no unit; write 5s or 5ms"}},
		{"bad duration", "worker: {lease: soon}\n", 0, nil, []string{`streamerson.yaml:1:17: worker.lease: "soon" is not a duration; write one like 250ms, 2s or 1m30s`}},
		{"negative duration", "worker: {drain: -1s}\n", 0, nil, []string{"streamerson.yaml:1:17: worker.drain: -1s is negative; write a duration like 250ms or 2s"}},
		{"zero lease", "worker: {lease: 0s}\n", 0, nil, []string{"streamerson.yaml:1:17: worker.lease: 0s leaves no time to renew it; write at least 100ms"}},
		{"zero timeout", "gateway: {timeouts: {call: 0}}\n", 0, nil, []string{"streamerson.yaml:1:28: gateway.timeouts.call: this must be more than 0; write a duration like 5s"}},
		{"bad size", "gateway: {limits: {body: 8Mb}}\n", 0, nil, []string{`streamerson.yaml:1:26: gateway.limits.body: "8Mb" is not a size; write one like 8MiB, 512KiB or 65536 (bytes)`}},
		{"bad listen", "gateway: {listen: '8080'}\n", 0, nil, []string{`streamerson.yaml:1:19: gateway.listen: "8080" is not an address to listen on; write host:port, such as 127.0.0.1:8080 or :8080`}},
		{"bad port", "gateway: {listen: ':http8'}\n", 0, nil, []string{`streamerson.yaml:1:19: gateway.listen: port "http8" is not a number from 0 to 65535`}},
		{"half a TLS", "gateway: {tls: {cert: a}}\n", 0, nil, []string{"streamerson.yaml:1:23: gateway.tls.cert: a certificate needs its private key; set gateway.tls.key as well"}},
		{"secret not set", "transport: {url: 'redis://:${REDIS_PASWORD}@h'}\n", 0, []string{"REDIS_PASSWORD=x"},
			[]string{"streamerson.yaml:1:18: transport.url: ${REDIS_PASWORD} is not set in the environment (did you mean ${REDIS_PASSWORD}?); set it, or write $${REDIS_PASWORD} if that text is meant"}},
		{"not a URL", "transport: {url: 'localhost:6379'}\n", 0, nil, []string{"streamerson.yaml:1:18: transport.url: this is not a URL; write it like redis://user:password@host:6379/0 (a password's / ? # @ as %2F %3F %23 %40)"}},
		{"a parameter twice", "transport:\n  url: redis://h?tls_ca=a\n  params:\n    tls_ca: b\n", 0, nil, []string{"streamerson.yaml:4:13: transport.params.tls_ca: transport.url has tls_ca in its query already; keep one of the two"}},
		{"no broker", "log: {level: info}\n", UseTransport, nil, []string{"streamerson.yaml: transport.url: a broker is needed; give its address, such as redis://127.0.0.1:6379/0, here or in STREAMERSON_TRANSPORT_URL"}},
		{"no routes", "gateway:\n  listen: :1\n", UseGateway, nil, []string{"streamerson.yaml:1:1: gateway.routes: a gateway needs at least one route, such as - {match: POST /posts, stream: posts}"}},
		{"no streams", "worker:\n  slots: 1\n", UseWorker, nil, []string{"streamerson.yaml:1:1: worker.streams: a worker needs at least one stream, such as - name: posts"}},
		{"route without a stream", "gateway:\n  routes:\n  - match: GET /a\n", 0, nil, []string{"streamerson.yaml:3:5: gateway.routes[0].stream: this setting is required; add stream:"}},
		{"route twice", "gateway:\n  routes:\n  - {match: GET /a, stream: s}\n  - {match: GET /a, stream: s}\n", 0, nil, []string{`streamerson.yaml:4:13: gateway.routes[1].match: "GET /a" is routed already in line 3; remove one of the two`}},
		{"routes that overlap", "gateway:\n  routes:\n  - {match: 'GET /a/{x}', stream: s}\n  - {match: 'GET /{y}/b', stream: s}\n", 0, nil,
			[]string{`streamerson.yaml:4:13: gateway.routes[1].match: "GET /{y}/b" and "GET /a/{x}" in line 3 match the same requests, and neither is the more exact one; change one of them`}},
		{"colon and brace", "gateway: {routes: [{match: 'GET /posts/:id', stream: s}, {match: 'GET /posts/{id}', stream: s}]}\n", 0, nil, []string{`streamerson.yaml:1:66: gateway.routes[1].match: "GET /posts/{id}" is routed already in line 1; remove one of the two`}},
		{"trace", "gateway: {routes: [{match: TRACE /a, stream: s}]}\n", 0, nil, []string{"streamerson.yaml:1:28: gateway.routes[0].match: TRACE is never served by a gateway; remove this route"}},
		{"packed and one-way", "gateway: {routes: [{match: POST /a, stream: s, pack: true, one_way: true}]}\n", 0, nil, []string{"streamerson.yaml:1:54: gateway.routes[0].pack: one-way requests are never packed; leave out pack or one_way"}},
		{"large header", "gateway: {limits: {header: 1MiB}}\n", 0, nil, []string{"streamerson.yaml:1:28: gateway.limits.header: 1MiB is more than a message carries; write at most 64KiB"}},
		{"no method", "gateway: {routes: [{match: /posts, stream: s}]}\n", 0, nil, []string{`streamerson.yaml:1:28: gateway.routes[0].match: "/posts" has no method; write GET /posts`}},
		{"no path", "gateway: {routes: [{match: GET, stream: s}]}\n", 0, nil, []string{`streamerson.yaml:1:28: gateway.routes[0].match: "GET" is not a method and a path; write it like GET /posts/{id}`}},
		{"small method", "gateway: {routes: [{match: get /a, stream: s}]}\n", 0, nil, []string{"streamerson.yaml:1:28: gateway.routes[0].match: methods are in capitals; write GET /a"}},
		{"bad pattern", "gateway: {routes: [{match: 'GET /{a', stream: s}]}\n", 0, nil, []string{`streamerson.yaml:1:28: gateway.routes[0].match: "GET /{a" is not a pattern; parameters are whole segments {name}, each name once, {rest...} and {$} only at the end`}},
		{"bad stream name", "gateway: {routes: [{match: GET /a, stream: 'my posts'}]}\n", 0, nil, []string{`streamerson.yaml:1:44: gateway.routes[0].stream: "my posts" can't be a name: it has ' '; allowed are A–Z a–z 0–9 . _ - (not . or - first)`}},
		{"stream twice", "worker: {streams: [{name: a}, {name: a}]}\n", 0, nil, []string{`streamerson.yaml:1:38: worker.streams[1].name: stream "a" is listed already as worker.streams[0]; remove one of the two`}},
		{"min above max", "worker: {streams: [{name: a, min: 3, max: 2}]}\n", 0, nil, []string{"streamerson.yaml:1:35: worker.streams[0].min: min 3 is more than max 2; lower it or raise max"}},
		{"max above slots", "worker: {slots: 4, streams: [{name: a, max: 5}]}\n", 0, nil, []string{"streamerson.yaml:1:45: worker.streams[0].max: max 5 is more than the worker's 4 slots; lower it or raise worker.slots"}},
		{"too much reserved", "worker:\n  slots: 4\n  streams: [{name: a, min: 3}, {name: b, min: 2}]\n", 0, nil,
			[]string{"streamerson.yaml:3:3: worker.streams: the streams reserve 5 slots together (min) and the worker has 4; lower a min or raise worker.slots"}},
		{"weight 0", "worker: {streams: [{name: a, weight: 0}]}\n", 0, nil, []string{"streamerson.yaml:1:38: worker.streams[0].weight: this must be at least 1"}},
		{"empty entry", "worker:\n  streams:\n  -\n", 0, nil, []string{"streamerson.yaml:3:5: worker.streams[0]: this entry is empty; fill it in or remove it"}},
		{"forward", "worker: {forward: 'localhost:3000'}\n", 0, nil, []string{"streamerson.yaml:1:19: worker.forward: this is not an HTTP address; write one like http://127.0.0.1:3000"}},
		{"functions without forward", "worker:\n  functions: {a: GET /a}\n", 0, nil, []string{"streamerson.yaml:2:3: worker.functions: functions give request lines to forwarded calls; set worker.forward as well, or remove them"}},
		{"function's line", "worker: {forward: 'http://h', functions: {a: 'GET /{id}'}}\n", 0, nil, []string{`streamerson.yaml:1:46: worker.functions.a: "GET /{id}" is not a request line; write a method and a path without parameters, such as GET /posts`}},
		{"any origin", "gateway: {cors: {origins: ['*']}}\n", 0, nil, []string{`streamerson.yaml:1:28: gateway.cors.origins[0]: "*": origins are exact, a * would let every page in; list each origin, such as https://app.example.org`}},
		{"origin with a path", "gateway: {cors: {origins: ['https://a/']}}\n", 0, nil, []string{`streamerson.yaml:1:28: gateway.cors.origins[0]: "https://a/" is not an origin; write scheme://host or scheme://host:port, without a path or a / at its end`}},
		{"proxy", "gateway: {trusted_proxies: [lb]}\n", 0, nil, []string{`streamerson.yaml:1:29: gateway.trusted_proxies[0]: "lb" is neither an address nor a network; write 10.1.2.3 or 10.0.0.0/8`}},
		{"no algorithm", "gateway:\n  auth:\n    jwt: {issuer: i, audience: a, key_file: k}\n", 0, nil, []string{"streamerson.yaml:3:5: gateway.auth.jwt.algorithms: this setting is required; add algorithms:"}},
		{"algorithm none", "gateway: {auth: {jwt: {algorithms: [none], issuer: i, audience: a, key_file: k}}}\n", 0, nil,
			[]string{`streamerson.yaml:1:37: gateway.auth.jwt.algorithms[0]: "none" is not an algorithm that can be allowed; choose from RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, HS256, HS384, HS512`}},
		{"mixed algorithms", "gateway: {auth: {jwt: {algorithms: [RS256, HS256], issuer: i, audience: a, key_file: k}}}\n", 0, nil,
			[]string{"streamerson.yaml:1:24: gateway.auth.jwt.algorithms: HS… algorithms (a shared secret) can't be mixed with the others (a public key); keep one kind"}},
		{"two keys", "gateway: {auth: {jwt: {algorithms: [RS256], issuer: i, audience: a, key_file: k, jwks_file: j}}}\n", 0, nil,
			[]string{"streamerson.yaml:1:18: gateway.auth.jwt: exactly one of key_file, jwks_file and secret_file is needed; 2 are set"}},
		{"secret for RSA", "gateway: {auth: {jwt: {algorithms: [RS256], issuer: i, audience: a, secret_file: k}}}\n", 0, nil,
			[]string{"streamerson.yaml:1:82: gateway.auth.jwt.secret_file: a shared secret goes with HS256, HS384 or HS512; RS256 needs key_file or jwks_file"}},
		{"log level", "log: {level: inof}\n", 0, nil, []string{`streamerson.yaml:1:14: log.level: "inof" is not known; did you mean info? (known are debug, info, warn, error)`}},
		{"sample", "tracing: {sample: 10}\n", 0, nil, []string{"streamerson.yaml:1:19: tracing.sample: 10 is not a share; write a number from 0 to 1"}},
		{"collector", "tracing: {endpoint: 'collector:4318'}\n", 0, nil, []string{"streamerson.yaml:1:21: tracing.endpoint: this is not an HTTP address; write one like http://127.0.0.1:4318"}},
		{"unknown variable", "", 0, []string{"STREAMERSON_GATEWAY_LISTN=:1"}, []string{"STREAMERSON_GATEWAY_LISTN: this environment variable names no setting; unset it, or did you mean STREAMERSON_GATEWAY_LISTEN?"}},
		{"stream of a variable", "worker: {streams: [{name: posts}]}\n", 0, []string{"STREAMERSON_WORKER_STREAMS=posts,psots"}, []string{`STREAMERSON_WORKER_STREAMS: worker.streams: stream "psots" is not in the file; did you mean posts?`}},
		{"bad variable", "", 0, []string{"STREAMERSON_WORKER_SLOTS=x"}, []string{`STREAMERSON_WORKER_SLOTS: worker.slots: this must be a whole number, not "x"`}},
		{"bad value in a variable", "worker: {slots: 3}\n", 0, []string{"STREAMERSON_WORKER_SLOTS=0"}, []string{"STREAMERSON_WORKER_SLOTS: worker.slots: this must be at least 1"}},
		{"everything at once", "log: {level: inof}\nworker:\n  lease: 5\n  slotz: 1\ngateway:\n  listen: x\n", 0, nil, []string{
			`streamerson.yaml:1:14: log.level: "inof" is not known; did you mean info? (known are debug, info, warn, error)`,
			"streamerson.yaml:3:10: worker.lease: 5 has no unit; write 5s or 5ms",
			"streamerson.yaml:4:3: worker.slotz: unknown key; did you mean slots?",
			`streamerson.yaml:6:11: gateway.listen: "x" is not an address to listen on; write host:port, such as 127.0.0.1:8080 or :8080`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := parse(t, tt.text, tt.use, tt.env...)
			if err == nil {
				t.Fatal("there was no error")
			}
			if want := strings.Join(tt.want, "\n"); err.Error() != want {
				t.Errorf("got\n%s\nwant\n%s", err, want)
			}
		})
	}
}

// TestNoSecretInMessages: a URL that can't be read holds a password as often as one that can.
func TestNoSecretInMessages(t *testing.T) {
	for _, url := range []string{"redis://u:hunter2@h:x/0", "redis://u:hunt%er2@h", "://u:hunter2@h", "redis:u:hunter2@h"} {
		_, err := parse(t, "transport: {url: '"+url+"'}\n", 0)
		if err == nil {
			t.Errorf("%s was accepted", url)
		} else if strings.Contains(err.Error(), "hunt") {
			t.Errorf("the message shows the password: %v", err)
		}
	}
}

// FuzzParse: any bytes give a configuration or an *Error with a place, never a panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("a: &a [*a, *a]\nlog: {<<: *a}\n? [x]\n: y\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := Parse("f", data, Options{Environ: []string{}, SkipFiles: true})
		if err == nil {
			return
		}
		for _, p := range err.(*Error).Problems {
			if p.Message == "" || p.File == "" && p.Source == "" {
				t.Errorf("a problem without a place: %+v", p)
			}
		}
	})
}
