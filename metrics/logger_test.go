package metrics

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func newTestLogger(t *testing.T, level, format string) (*slog.Logger, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	l, err := NewLogger(level, format, &b)
	if err != nil {
		t.Fatal(err)
	}
	return l, &b
}

// nilError panics when it is printed through a nil pointer.
type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

func TestLoggerHidesSecrets(t *testing.T) {
	const secret = "hunter2"
	u, _ := url.Parse("redis://user:" + secret + "@h:6379/0")
	for _, format := range []string{"text", "json"} {
		l, out := newTestLogger(t, "debug", format)
		for _, key := range []string{"password", "Password", "redis_password", "token", "AccessToken", "authorization", "Authorization", "cookie", "Set-Cookie", "api-key", "x-api-key", "client.secret", "private_key", "credentials"} {
			l.Info("m", key, secret)
			l.Info("m", key, []string{secret})
			l.With(key, secret).WithGroup("g").Info("m", key, secret)
			l.Info("m", slog.Group("g", slog.Group("h", key, secret)))
		}
		l.Info("connecting to redis://user:" + secret + "@h:6379/0")
		l.Info("m", "url", u)
		for _, s := range []string{
			"rediss://:" + secret + "@h", "nats://" + secret + "@h:4222", "redis://u:a/b?" + secret + "@h:1/0 and more", "dial redis://u:p@" + secret + "@h: refused",
			"GET /x?a=1&token=" + secret + "&b=2", "password: " + secret, `{"password":"` + secret + `"}`, `PASSWORD='` + secret + ` two'`, "redis_password=" + secret,
			"Authorization: Bearer Ab12345678." + secret, "basic dXNlcjpwYXNz" + secret,
		} {
			l.Info("m", "text", s)
			l.Info("m", "error", fmt.Errorf("wrapped: %w", errors.New(s)))
			l.Info(s)
		}
		l.Info("m", "config", struct{ Password string }{secret}, "bytes", []byte("token="+secret), "headers", http.Header{"Authorization": {secret}, "Cookie": {secret}, "X": {"shown"}})
		if s := out.String(); strings.Contains(s, secret) {
			for line := range strings.Lines(s) {
				if strings.Contains(line, secret) {
					t.Errorf("%s: %s", format, line)
				}
			}
		}
		if s := out.String(); !strings.Contains(s, "shown") || !strings.Contains(s, "@h:6379/0") {
			t.Errorf("%s hides too much: %s", format, s)
		}
	}
}

func TestLoggerKeepsTheRest(t *testing.T) {
	l, out := newTestLogger(t, "", "json")
	var none *nilError
	l.Debug("not shown")
	l.Info("m", "n", 7, "d", time.Second, "err", errors.New("plain"), "nil", none, "url", "http://host:8080/a/b?x=y", "mail", "http://h/?m=a@b", "auth", "basic authentication failed", "function", "GET /posts/{id}")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for k, want := range map[string]any{
		"level": "INFO", "msg": "m", "n": 7.0, "err": "plain", "url": "http://host:8080/a/b?x=y", "mail": "http://h/?m=a@b", "auth": "basic authentication failed", "function": "GET /posts/{id}", "nil": "[unprintable]",
	} {
		if line[k] != want {
			t.Errorf("%s is %v, want %v", k, line[k], want)
		}
	}
}

func TestLoggerLimitsRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, out := newTestLogger(t, "info", "json")
		lines := func() int { n := bytes.Count(out.Bytes(), []byte("\n")); return n }
		// Ten seconds of a subscription that fails 100 times a second, through loggers made in both ways.
		with := l.With("stream", "posts").WithGroup("g")
		for i := range 1000 {
			if i%2 == 0 {
				with.Error("read failed", "attempt", i)
			} else {
				l.Error("read failed", "stream", "posts", "attempt", i)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := lines(); n < 10 || n > 2*10 {
			t.Errorf("%d lines in 10 s, want at most two a second", n)
		}
		// Never more than two within any second, and nothing is lost from the count.
		shown, suppressed := []time.Time{}, 0
		for line := range strings.Lines(out.String()) {
			var r struct {
				Time       time.Time
				Suppressed int
				G          struct{ Suppressed int }
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			shown, suppressed = append(shown, r.Time), suppressed+r.Suppressed+r.G.Suppressed
		}
		for i := 2; i < len(shown); i++ {
			if d := shown[i].Sub(shown[i-2]); d < time.Second {
				t.Errorf("three lines within %v", d)
			}
		}
		out.Reset()
		time.Sleep(time.Second)
		l.Error("read failed", "stream", "posts")
		var last struct{ Suppressed int }
		if err := json.Unmarshal(out.Bytes(), &last); err != nil {
			t.Fatal(err)
		}
		if got := len(shown) + suppressed + last.Suppressed; got != 1000 {
			t.Errorf("%d lines are accounted for, want 1000", got)
		}
		// Another stream, another message, and lines below a warning have nothing to do with it.
		out.Reset()
		l.Error("read failed", "stream", "users")
		l.Error("write failed", "stream", "posts")
		for range 100 {
			l.Info("request", "stream", "posts")
		}
		if n := lines(); n != 102 {
			t.Errorf("%d lines, want 102", n)
		}
		// Thousands of different lines don't grow the memory without end.
		for i := range 5000 {
			l.Warn(fmt.Sprint("message ", i))
		}
		if n := len(l.Handler().(*limitHandler).limits.seen); n > maxLimited {
			t.Errorf("%d different lines are remembered, at most %d should be", n, maxLimited)
		}
	})
}

func TestLoggerArguments(t *testing.T) {
	if _, err := NewLogger("loud", "", nil); err == nil || !strings.Contains(err.Error(), `"loud"`) {
		t.Error(err)
	}
	if _, err := NewLogger("", "xml", nil); err == nil || !strings.Contains(err.Error(), `"xml"`) {
		t.Error(err)
	}
	l, out := newTestLogger(t, "ERROR", "")
	l.Warn("no")
	l.Error("yes")
	if strings.Contains(out.String(), "no") || !strings.Contains(out.String(), "msg=yes") {
		t.Error(out)
	}
}
