package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/rs/cors"
)

// CORSConfig says which pages of other origins may call. With no Origins there is no CORS: no such header is sent, and an
// OPTIONS request is routed like any other. Otherwise the gateway alone decides, and Access-Control-* headers of workers
// are left out.
type CORSConfig struct {
	// Origins are exact: https://app.example.org. The one wildcard is a lone "*", which can't go with Credentials.
	Origins []string
	// Methods that pages may use; nil means those of the routes.
	Methods []string
	// Headers that pages may send besides the simple ones.
	Headers []string
	// Credentials lets pages send cookies and client certificates.
	Credentials bool
	// MaxAge is how long a browser may remember a preflight's answer; 0 means DefaultCORSMaxAge.
	MaxAge time.Duration
}

// DefaultCORSMaxAge is short enough that a change of the settings shows on the same day's visit.
const DefaultCORSMaxAge = 10 * time.Minute

// exposed are the gateway's own response headers, which a page may read.
var exposed = []string{headerRequestID, "Retry-After", "Server-Timing"}

func (c *CORSConfig) check() error {
	if c.MaxAge < 0 {
		return fmt.Errorf("gateway: CORS.MaxAge must not be negative")
	}
	if c.MaxAge == 0 {
		c.MaxAge = DefaultCORSMaxAge
	}
	for i, o := range c.Origins {
		if o == "*" {
			if c.Credentials {
				return fmt.Errorf("gateway: CORS.Origins[%d]: \"*\" with Credentials would let any page act in a user's name; list the origins", i)
			}
			continue
		}
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || strings.Contains(o, "*") || o != u.Scheme+"://"+u.Host || strings.ToLower(o) != o {
			return fmt.Errorf("gateway: CORS.Origins[%d]: %q is not an origin; write scheme and host in lower case, as in https://app.example.org", i, o)
		}
	}
	if slices.Contains(c.Headers, "*") && c.Credentials {
		return fmt.Errorf("gateway: CORS.Headers: \"*\" with Credentials is refused; list the headers")
	}
	return nil
}

// handler returns nil when CORS is off.
func (c *CORSConfig) handler(routes []*route) *cors.Cors {
	if len(c.Origins) == 0 {
		return nil
	}
	methods := c.Methods
	if methods == nil {
		for _, rt := range routes {
			switch {
			case rt.Method == "":
				methods = append(methods, http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete)
			case rt.Method == http.MethodGet:
				methods = append(methods, http.MethodGet, http.MethodHead)
			default:
				methods = append(methods, rt.Method)
			}
		}
		slices.Sort(methods)
		methods = slices.Compact(methods)
	}
	return cors.New(cors.Options{
		AllowedOrigins: c.Origins, AllowedMethods: methods, AllowedHeaders: c.Headers, ExposedHeaders: exposed,
		AllowCredentials: c.Credentials, MaxAge: int(c.MaxAge / time.Second),
	})
}

func isPreflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Access-Control-Request-Method"]) > 0
}
