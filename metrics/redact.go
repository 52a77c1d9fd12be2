package metrics

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// redacted stands for what a log line must not show.
const redacted = "[redacted]"

// secretWords mark an attribute by a part of its key, in lower case and without - _ . and spaces.
var secretWords = []string{
	"password", "passwd", "passphrase", "secret", "token", "authorization", "cookie", "apikey", "accesskey", "privatekey", "credential", "bearer",
}

func isSecret(name string) bool {
	name = strings.Map(func(r rune) rune {
		switch r {
		case '-', '_', '.', ' ':
			return -1
		}
		return r
	}, strings.ToLower(name))
	for _, w := range secretWords {
		if strings.Contains(name, w) {
			return true
		}
	}
	return false
}

// The patterns take more rather than less: a password with an unescaped / or ? is not a valid URL, and must not show either.
var (
	userinfo = regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*://)[^\s"'<>/?#@:]*(?::[^\s"'<>]*)?@`)
	// assignment is a secret in a query or in a message: token=…, password: "…".
	assignment = regexp.MustCompile(`(?i)\b((?:[a-z0-9]+[_-])*(?:password|passwd|secret|token|api[_-]?key|access[_-]?key))(["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s&"',;]+)`)
	// scheme is an HTTP credential; the capital, digit or = keeps "basic authentication" readable.
	scheme = regexp.MustCompile(`\b((?i:bearer|basic))\s+[A-Za-z0-9._~+/=-]*[A-Z0-9=][A-Za-z0-9._~+/=-]*`)
)

// redactText hides the secrets that can be told from their surroundings: user names and passwords in URLs, password=… and
// the like, and HTTP credentials.
func redactText(s string) string {
	if strings.Contains(s, "://") {
		s = userinfo.ReplaceAllString(s, "${1}"+redacted+"@")
	}
	s = scheme.ReplaceAllString(s, "${1} "+redacted)
	if strings.ContainsAny(s, "=:") {
		s = assignment.ReplaceAllString(s, "${1}${2}"+redacted)
	}
	return s
}

// redactAttr is the logger's slog.HandlerOptions.ReplaceAttr: it sees every attribute, the message included.
func redactAttr(_ []string, a slog.Attr) slog.Attr {
	if isSecret(a.Key) {
		return slog.String(a.Key, redacted)
	}
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(redactText(a.Value.String()))
	case slog.KindAny:
		a.Value = redactAny(a.Value)
	}
	return a
}

func redactAny(v slog.Value) (out slog.Value) {
	// A nil pointer in an interface panics in its own method; a log line must not end the program for it.
	defer func() {
		if recover() != nil {
			out = slog.StringValue("[unprintable]")
		}
	}()
	switch x := v.Any().(type) {
	case nil, *slog.Source, slog.Level:
		return v
	case error:
		return slog.StringValue(redactText(x.Error()))
	case *url.URL:
		return slog.StringValue(redactText(x.String()))
	case http.Header:
		shown := make(http.Header, len(x))
		for k, values := range x {
			for _, value := range values {
				if isSecret(k) {
					value = redacted
				}
				shown.Add(k, redactText(value))
			}
		}
		return slog.AnyValue(shown)
	case fmt.Stringer:
		return slog.StringValue(redactText(x.String()))
	case []byte:
		return slog.StringValue(redactText(string(x)))
	default:
		// Structs, maps and slices: as text, because their parts can't be looked into one by one.
		return slog.StringValue(redactText(fmt.Sprintf("%+v", x)))
	}
}
