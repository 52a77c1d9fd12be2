package main

import (
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// TestSettingsReachTheGateway: each setting of the file that a client can feel does what it says.
func TestSettingsReachTheGateway(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	secret := strings.Repeat("s3", 20)
	writeFile(t, dir, "secret", secret+"\n")
	file := writeFile(t, dir, "g.yaml", `
gateway:
  listen: `+addr+`
  server_timing: true
  access_log: true
  limits: {body: 2KiB}
  cors: {origins: ["https://app.example.org"], headers: [x-a]}
  trusted_proxies: [127.0.0.1]
  identity_headers: [x-tenant]
  auth:
    jwt: {algorithms: [HS256], issuer: me, audience: things, secret_file: secret, claims: {tenant: acme}, identity_claims: [tenant]}
  routes:
    - {match: GET /private, stream: s}
    - {match: GET /open, stream: s, public: true}
    - {match: POST /open, stream: s, public: true}
    - {match: POST /small, stream: s, public: true, body_limit: 10}
    - {match: POST /later, stream: s, public: true, one_way: true}
`)
	d := start(t, nil, "dev", "-c", file)
	eventually(t, "the gateway answers", func() bool { status, _ := get(t, "http://"+addr+"/open"); return status == 200 })
	token := func(claims jwt.MapClaims) string {
		t.Helper()
		all := jwt.MapClaims{"iss": "me", "aud": "things", "sub": "ada", "tenant": "acme", "exp": time.Now().Add(time.Minute).Unix()}
		for k, v := range claims {
			all[k] = v
		}
		s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, all).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + s
	}
	for _, tt := range []struct {
		name, method, path, body string
		header                   map[string]string
		status                   int
		has, hasNot              string // in the answer's head and body
	}{
		{"no token", "GET", "/private", "", nil, 401, "Www-Authenticate: ", ""},
		{"a good token", "GET", "/private", "", map[string]string{"Authorization": token(nil)}, 200, "Server-Timing: ", "Authorization"},
		{"another issuer", "GET", "/private", "", map[string]string{"Authorization": token(jwt.MapClaims{"iss": "you"})}, 401, "", ""},
		{"another audience", "GET", "/private", "", map[string]string{"Authorization": token(jwt.MapClaims{"aud": "others"})}, 401, "", ""},
		{"another tenant", "GET", "/private", "", map[string]string{"Authorization": token(jwt.MapClaims{"tenant": "evil"})}, 403, "", ""},
		{"within the leeway", "GET", "/private", "", map[string]string{"Authorization": token(jwt.MapClaims{"exp": time.Now().Add(-10 * time.Second).Unix()})}, 200, "", ""},
		{"after the leeway", "GET", "/private", "", map[string]string{"Authorization": token(jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()})}, 401, "", ""},
		{"a header that a service believes", "GET", "/open", "", map[string]string{"X_Tenant": "evil", "X-B": "kept"}, 200, "kept", "evil"},
		{"a body within the limit", "POST", "/open", strings.Repeat("x", 2<<10), nil, 200, `"bytes": 2048`, ""},
		{"a body over the limit", "POST", "/open", strings.Repeat("x", 2<<10+1), nil, 413, "", ""},
		{"a body over the route's limit", "POST", "/small", "12345678901", nil, 413, "", ""},
		{"one-way", "POST", "/later", "x", nil, 202, "", ""},
		{"a known origin", "GET", "/open", "", map[string]string{"Origin": "https://app.example.org"}, 200, "Access-Control-Allow-Origin: https://app.example.org", ""},
		{"a strange origin", "GET", "/open", "", map[string]string{"Origin": "https://evil.example.org"}, 200, "", "Access-Control-Allow-Origin"},
		{"a preflight", "OPTIONS", "/open", "", map[string]string{"Origin": "https://app.example.org", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-a"}, 204, "Access-Control-Max-Age: 600", ""},
		{"a trusted proxy", "GET", "/open", "", map[string]string{"X-Forwarded-For": "192.0.2.7"}, 200, "192.0.2.7", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tt.method, "http://"+addr+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range tt.header {
				req.Header[k] = []string{v} // as it is spelled
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			var answer strings.Builder
			_ = res.Header.Write(&answer)
			if _, err := io.Copy(&answer, res.Body); err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.status || !strings.Contains(answer.String(), tt.has) || tt.hasNot != "" && strings.Contains(answer.String(), tt.hasNot) {
				t.Errorf("status %d, want %d, with %q and without %q:\n%s", res.StatusCode, tt.status, tt.has, tt.hasNot, &answer)
			}
		})
	}
	d.wrote("/private")
	if strings.Contains(d.out.String(), secret) || strings.Contains(d.out.String(), "Bearer ") {
		t.Error("the log shows a secret")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	d.wrote("there is no such file; what was read before stays in force")
}
