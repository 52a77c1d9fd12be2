package config

// Config is the whole file. Every section may be left out; what a program needs of it is said by Options.Use.
type Config struct {
	// The broker that requests and replies go through.
	Transport Transport `yaml:"transport"`
	// The HTTP side: streamerson gateway.
	Gateway Gateway `yaml:"gateway"`
	// The serving side: streamerson worker.
	Worker Worker `yaml:"worker"`
	// The port for metrics and health checks.
	Admin Admin `yaml:"admin"`
	// What goes to standard error.
	Log Log `yaml:"log"`
	// Where spans go.
	Tracing Tracing `yaml:"tracing"`

	// positions tells where each setting came from, by its path.
	positions map[string]Position
	file      string
	// source is the file as it was read.
	source []byte
}

// Transport names the broker.
type Transport struct {
	// URL of the broker, such as redis://user:${REDIS_PASSWORD}@127.0.0.1:6379/0; its scheme picks the driver. Required.
	URL string `yaml:"url" secret:"url"`
	// Params are added to the URL's query, where drivers take their settings. One that the URL has as well is an error.
	Params map[string]string `yaml:"params" secret:"map"`
}

// Gateway is the HTTP side.
type Gateway struct {
	// Listen is the address to serve HTTP on. Default 127.0.0.1:8080, which only this machine reaches; :8080 is every address.
	Listen string `yaml:"listen" default:"127.0.0.1:8080"`
	// TLS serves HTTPS and HTTP/2 instead of plain HTTP.
	TLS TLS `yaml:"tls"`
	// ServerTiming adds a Server-Timing header that splits each answer's time. Default false: it tells outsiders about queues.
	ServerTiming bool `yaml:"server_timing"`
	// Timeouts of connections and calls.
	Timeouts Timeouts `yaml:"timeouts"`
	// Limits on what one request and all together may take.
	Limits Limits `yaml:"limits"`
	// CORS lets pages of other origins call. Default: none may.
	CORS CORS `yaml:"cors"`
	// Auth says who may call. Default: anyone.
	Auth Auth `yaml:"auth"`
	// TrustedProxies are addresses or networks (10.0.0.0/8) whose X-Forwarded-For and -Proto are believed. Default: none.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// IdentityHeaders are further headers that are never taken from outside, besides the usual ones, because a service believes
	// them.
	IdentityHeaders []string `yaml:"identity_headers"`
	// ForwardAuthorization passes the Authorization header on to workers even where auth has read it. Default false: a token
	// is a secret, and would lie in the stream; workers get the identity.
	ForwardAuthorization bool `yaml:"forward_authorization"`
	// AccessLog writes a line for each request at level info: route, status, bytes, time. Default false.
	AccessLog bool `yaml:"access_log"`
	// PortSharing lets a new gateway listen on the same address before the old one stops (Linux), for restarts without a pause.
	// Default false: a second gateway by mistake is an error.
	PortSharing bool `yaml:"port_sharing"`
	// H2C takes HTTP/2 without TLS as well, behind a proxy that speaks it. Default false.
	H2C bool `yaml:"h2c"`
	// OnlyNetHTTP leaves plain HTTP/1.1 to Go's net/http as well, at about twice the gateway's CPU. Default false: the gateway reads by
	// itself what can be read in one way only, and gives net/http the rest.
	OnlyNetHTTP bool `yaml:"only_net_http"`
	// Routes say which request goes to which stream. A gateway needs at least one.
	Routes []Route `yaml:"routes" env:"-"`
}

// TLS names a certificate. Both files or none; a relative path is relative to the configuration file.
type TLS struct {
	// Cert is a PEM file with the certificate and its chain.
	Cert string `yaml:"cert" file:"read"`
	// Key is a PEM file with the certificate's private key.
	Key string `yaml:"key" file:"read"`
}

// Timeouts of the HTTP side.
type Timeouts struct {
	// Header bounds reading a request's header. Default 5s.
	Header Duration `yaml:"header" default:"5s"`
	// Read bounds reading a whole request, its body included. Default 30s.
	Read Duration `yaml:"read" default:"30s"`
	// Idle is how long a kept-alive connection may wait for its next request. Default 2m.
	Idle Duration `yaml:"idle" default:"2m"`
	// Write is how long a client may take to read its answer. Default 30s.
	Write Duration `yaml:"write" default:"30s"`
	// LameDuck is how long a shutdown still takes requests while /readyz already fails, so that load balancers see it first.
	// Default 0s. It comes before drain.
	LameDuck Duration `yaml:"lame_duck"`
	// Drain bounds how long a shutdown waits for calls in flight. Default 25s, inside the 30s that Kubernetes gives.
	Drain Duration `yaml:"drain" default:"25s"`
	// Call bounds a call, unless its route says otherwise. Default 10s.
	Call Duration `yaml:"call" default:"10s"`
}

// Limits of the HTTP side.
type Limits struct {
	// Body is the largest request body. Default 8MiB. A larger one is answered 413.
	Body Size `yaml:"body" default:"8MiB"`
	// Header is the largest request header in all. Default 64KiB, which is the most as well. A larger one is answered 431.
	Header Size `yaml:"header" default:"64KiB"`
	// InFlight is how many requests may be under way at once, over all routes. Default 4096. One more is answered 503.
	InFlight int `yaml:"in_flight" default:"4096"`
}

// CORS says which pages of other origins may call.
type CORS struct {
	// Origins are exact origins (https://app.example.org). Default: none, and no CORS header is ever sent.
	Origins []string `yaml:"origins"`
	// Methods that pages may use. Default: those of the routes.
	Methods []string `yaml:"methods"`
	// Headers that pages may send besides the simple ones. Default: none.
	Headers []string `yaml:"headers"`
	// Credentials lets pages send cookies and authorization. Default false.
	Credentials bool `yaml:"credentials"`
	// MaxAge is how long a browser may remember a preflight's answer. Default 10m.
	MaxAge Duration `yaml:"max_age" default:"10m"`
}

// Auth says who may call.
type Auth struct {
	// JWT asks for a bearer token on every route that is not public. Default: no token is asked for.
	JWT *JWT `yaml:"jwt"`
}

// JWT says which tokens are good.
type JWT struct {
	// Algorithms that a token may be signed with. At least one; "none" never.
	Algorithms []string `yaml:"algorithms" required:"true"`
	// Issuer is the iss that a token must have. Required.
	Issuer string `yaml:"issuer" required:"true"`
	// Audience is the aud that a token must have. Required: without it a token made for another service would do here.
	Audience string `yaml:"audience" required:"true"`
	// KeyFile is a PEM file with the issuer's public key. Exactly one of key_file, jwks_file and secret_file is needed.
	KeyFile string `yaml:"key_file" file:"read"`
	// JWKSFile is a file with a JSON web key set: several keys, picked by the token's kid.
	JWKSFile string `yaml:"jwks_file" file:"read"`
	// SecretFile is a file with the shared secret of HS256, HS384 or HS512, at least 32 bytes.
	SecretFile string `yaml:"secret_file" file:"read"`
	// Leeway is how far clocks may differ for exp, nbf and iat. Default 30s, at most 5m.
	Leeway Duration `yaml:"leeway" default:"30s"`
	// Claims that a token must have, with these values.
	Claims map[string]string `yaml:"claims"`
	// IdentityClaims are told to workers besides sub, as one JSON object. Default: none, and the identity is the sub alone.
	IdentityClaims []string `yaml:"identity_claims"`
}

// Route sends the requests of one method and path pattern to one function on one stream.
type Route struct {
	// Match is a method and a path pattern as in Go's net/http: POST /posts/image, GET /posts/{id}, GET /files/{rest...}.
	// GET answers HEAD too. GET /posts/:id means GET /posts/{id}.
	Match string `yaml:"match" required:"true"`
	// Stream that the requests are put on: 1–200 characters of A–Z a–z 0–9 . _ -
	Stream string `yaml:"stream" required:"true"`
	// Function that workers run. Default: the match itself.
	Function string `yaml:"function"`
	// Timeout bounds a call of this route. Default: gateway.timeouts.call.
	Timeout Duration `yaml:"timeout"`
	// BodyLimit is this route's largest body. Default: gateway.limits.body.
	BodyLimit Size `yaml:"body_limit"`
	// InFlight bounds this route's requests under way at once. Default 0: only gateway.limits.in_flight.
	InFlight int `yaml:"in_flight"`
	// Public lets anyone call, without a token. Default false.
	Public bool `yaml:"public"`
	// OneWay answers 202 as soon as the broker has the request. Default false: the worker's reply is the answer.
	OneWay bool `yaml:"one_way"`
	// Pack lets requests that come at the same moment share a message, up to as many as their handlers answer in a millisecond:
	// cheaper under load, but one worker runs them one after the other. All workers of the stream must know such messages. Not with
	// one_way. Default false: each request is a message of its own.
	Pack bool `yaml:"pack"`
}

// Worker is the serving side.
type Worker struct {
	// Group of workers that share the streams' requests. Default workers.
	Group string `yaml:"group" default:"workers"`
	// Slots is how many handlers run at once in this process, over all streams. Default 64.
	Slots int `yaml:"slots" default:"64"`
	// Lease is how long a crashed worker holds on to a request. Default 3s; running handlers renew it, so it bounds none.
	Lease Duration `yaml:"lease" default:"3s"`
	// Drain bounds how long a shutdown waits for running handlers. Default 25s.
	Drain Duration `yaml:"drain" default:"25s"`
	// MaxAttempts is how many deliveries a request gets before it goes to the dead letter stream. Default 5.
	MaxAttempts int `yaml:"max_attempts" default:"5"`
	// RetryDelays are the waits before a failed one-way message is tried again; after the last it is a dead letter.
	// Default [10s, 20s, 30s].
	RetryDelays []Duration `yaml:"retry_delays" default:"10s,20s,30s"`
	// Streams to serve. A worker needs at least one. The variable and the flag take names: a,b.
	Streams []Stream `yaml:"streams"`
	// Forward makes the worker a sidecar: every request goes to the HTTP server at this URL (http://127.0.0.1:3000).
	Forward string `yaml:"forward"`
	// Functions gives, with forward, a request line to calls that come without one, from programs and not from a gateway:
	// posts.list: GET /posts
	Functions map[string]string `yaml:"functions"`
}

// Stream says how a worker serves one stream.
type Stream struct {
	// Name of the stream: 1–200 characters of A–Z a–z 0–9 . _ -
	Name string `yaml:"name" required:"true"`
	// Min is how many slots are reserved for this stream. Default 0. The sum over all streams is at most worker.slots.
	Min int `yaml:"min"`
	// Weight is this stream's share of the slots that nobody reserved, when several wait. Default 1.
	Weight int `yaml:"weight" default:"1"`
	// Max bounds the slots that this stream may have at once. Default 0: all.
	Max int `yaml:"max"`
	// Lend lets other streams use the reserved slots while this one is idle. Default false.
	Lend bool `yaml:"lend"`
	// MaxBacklog is how many requests may wait before more are refused. Default 0: 1000000 where the transport bounds a
	// backlog. nats+core stores nothing and refuses any other value.
	MaxBacklog int64 `yaml:"max_backlog"`
}

// Admin is the port for the operator.
type Admin struct {
	// Listen is the address for /metrics, /healthz and /readyz. Default empty: no such port.
	Listen string `yaml:"listen"`
	// Pprof serves Go's profiles there as well. Default false.
	Pprof bool `yaml:"pprof"`
}

// Log says what goes to standard error.
type Log struct {
	// Level is debug, info, warn or error. Default info.
	Level string `yaml:"level" default:"info" enum:"debug,info,warn,error"`
	// Format is text or json. Default text.
	Format string `yaml:"format" default:"text" enum:"text,json"`
}

// Tracing says where OpenTelemetry spans go.
type Tracing struct {
	// Endpoint is an OTLP/HTTP collector's URL (http://127.0.0.1:4318). Default empty: trace context travels, nothing is sent.
	Endpoint string `yaml:"endpoint"`
	// Service is the service.name of the spans. Default streamerson.
	Service string `yaml:"service" default:"streamerson"`
	// Sample is the share of new traces that are recorded, 0 to 1. Default 0.1.
	Sample float64 `yaml:"sample" default:"0.1"`
	// TrustCallers joins the trace that an HTTP client names in traceparent, and keeps its decision to record. Default false:
	// strangers could fill the trace store.
	TrustCallers bool `yaml:"trust_callers"`
}
