package gateway

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/streamerson/streamerson/rpc"
)

const testSecret = "0123456789abcdef0123456789abcdef"

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

var ecKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

func publicPEM(t *testing.T, key crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func keyFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	writeFile(t, file, data)
	return file
}

func goodClaims() jwt.MapClaims {
	return jwt.MapClaims{"sub": "user-7", "iss": "https://id.example", "aud": "posts", "exp": time.Now().Add(time.Hour).Unix(), "email": "a@b.c", "roles": []string{"editor", "admin"}}
}

func with(change func(jwt.MapClaims)) jwt.MapClaims {
	c := goodClaims()
	change(c)
	return c
}

func sign(t *testing.T, m jwt.SigningMethod, key any, claims jwt.MapClaims, header ...string) string {
	t.Helper()
	tok := jwt.NewWithClaims(m, claims)
	for i := 0; i < len(header); i += 2 {
		tok.Header[header[i]] = header[i+1]
	}
	s, err := tok.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBadTokens(t *testing.T) {
	pemBytes := publicPEM(t, &rsaKey().PublicKey)
	auth, err := NewJWT(JWTConfig{
		Algorithms: []string{"RS256"}, Issuer: "https://id.example", Audience: "posts", KeyFile: keyFile(t, "key.pem", pemBytes), Claims: map[string]string{"roles": "admin"},
	})
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, jwt.SigningMethodRS256, rsaKey(), goodClaims())
	parts := strings.Split(good, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	rs := func(change func(jwt.MapClaims)) string {
		return "Bearer " + sign(t, jwt.SigningMethodRS256, rsaKey(), with(change))
	}
	hour := time.Hour
	for _, c := range []struct {
		name   string
		header []string
		status int
		why    string
	}{
		{"good", []string{"Bearer " + good}, 200, ""},
		{"scheme in lower case", []string{"bearer " + good}, 200, ""},
		{"no token", nil, 401, `Bearer realm="streamerson"`},
		{"empty", []string{""}, 401, "one bearer token"},
		{"basic", []string{"Basic dTpw"}, 401, "one bearer token"},
		{"two headers", []string{"Bearer " + good, "Bearer " + good}, 401, "one bearer token"},
		{"garbage", []string{"Bearer abc"}, 401, "malformed"},
		{"huge", []string{"Bearer " + strings.Repeat("a", maxToken+1)}, 401, "one bearer token"},
		{"alg none", []string{"Bearer " + sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, goodClaims())}, 401, "can't be verified"},
		{"alg None by hand", []string{"Bearer " + b64([]byte(`{"alg":"None","typ":"JWT"}`)) + "." + parts[1] + "."}, 401, "can't be verified"},
		{"no signature", []string{"Bearer " + parts[0] + "." + parts[1] + "."}, 401, "can't be verified"},
		{"HS256 with the public key as secret", []string{"Bearer " + sign(t, jwt.SigningMethodHS256, pemBytes, goodClaims())}, 401, "can't be verified"},
		{"another algorithm of the right key", []string{"Bearer " + sign(t, jwt.SigningMethodRS512, rsaKey(), goodClaims())}, 401, "can't be verified"},
		{"another key of the right algorithm", []string{"Bearer " + sign(t, jwt.SigningMethodRS256, other, goodClaims())}, 401, "can't be verified"},
		{"claims changed", []string{"Bearer " + parts[0] + "." + b64([]byte(`{"sub":"root","exp":9999999999}`)) + "." + parts[2]}, 401, "can't be verified"},
		{"critical extension", []string{"Bearer " + sign(t, jwt.SigningMethodRS256, rsaKey(), goodClaims(), "crit", "x")}, 401, "can't be verified"},
		{"expired", []string{rs(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Second).Unix() })}, 401, "expired"},
		{"no exp", []string{rs(func(c jwt.MapClaims) { delete(c, "exp") })}, 401, "lacks a claim"},
		{"exp is no number", []string{rs(func(c jwt.MapClaims) { c["exp"] = "tomorrow" })}, 401, ""},
		{"not yet", []string{rs(func(c jwt.MapClaims) { c["nbf"] = time.Now().Add(hour).Unix() })}, 401, "not valid yet"},
		{"from the future", []string{rs(func(c jwt.MapClaims) { c["iat"] = time.Now().Add(hour).Unix() })}, 401, "not valid yet"},
		{"wrong issuer", []string{rs(func(c jwt.MapClaims) { c["iss"] = "https://evil.example" })}, 401, "another issuer"},
		{"no issuer", []string{rs(func(c jwt.MapClaims) { delete(c, "iss") })}, 401, ""},
		{"wrong audience", []string{rs(func(c jwt.MapClaims) { c["aud"] = "mail" })}, 401, "another audience"},
		{"no audience", []string{rs(func(c jwt.MapClaims) { delete(c, "aud") })}, 401, ""},
		{"one of several audiences", []string{rs(func(c jwt.MapClaims) { c["aud"] = []string{"mail", "posts"} })}, 200, ""},
		{"no subject", []string{rs(func(c jwt.MapClaims) { delete(c, "sub") })}, 401, "no subject"},
		{"subject with a line break", []string{rs(func(c jwt.MapClaims) { c["sub"] = "a\r\nx: y" })}, 401, "can't be passed on"},
		{"not an admin", []string{rs(func(c jwt.MapClaims) { c["roles"] = []string{"editor"} })}, 403, "asks for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fakeCaller{}
			g := newTestGateway(t, f, func(cfg *Config) { cfg.Auth = auth })
			r := httptest.NewRequest("GET", "/posts/1", nil)
			r.Header["Authorization"] = c.header
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			challenge := w.Header().Get("Www-Authenticate")
			if w.Code != c.status || !strings.Contains(challenge+w.Body.String(), c.why) || (challenge != "") != (c.status == 401) {
				t.Fatalf("answered %d %v %s", w.Code, w.Header(), w.Body)
			}
			if c.status != 200 {
				f.none(t)
				return
			}
			h := f.last(t).Header
			if h.Get(rpc.HeaderIdentity) != "user-7" || h.Get("Authorization") != "" {
				t.Errorf("published %v", h)
			}
		})
	}
}

func request(token string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return r
}

func TestIdentityClaims(t *testing.T) {
	auth, err := NewJWT(JWTConfig{Algorithms: []string{"HS256"}, SecretFile: keyFile(t, "secret", []byte(testSecret+"\n")), IdentityClaims: []string{"email", "roles", "none"}})
	if err != nil {
		t.Fatal(err)
	}
	id, err := auth.Authenticate(request(sign(t, jwt.SigningMethodHS256, []byte(testSecret), goodClaims())))
	if err != nil || id != `{"email":"a@b.c","roles":["editor","admin"],"sub":"user-7"}` {
		t.Errorf("%q %v", id, err)
	}
}

func TestForwardAuthorization(t *testing.T) {
	f := &fakeCaller{}
	g := newTestGateway(t, f, nil)
	do(g, "GET", "/posts/1", "", "Authorization", "Basic x")
	if f.last(t).Header.Get("Authorization") != "Basic x" {
		t.Error("without Auth the field is the service's own")
	}
	g = newTestGateway(t, f, func(c *Config) { c.Auth, c.ForwardAuthorization = nobody{}, true })
	do(g, "GET", "/posts/1", "", "Authorization", "Basic x")
	if f.last(t).Header.Get("Authorization") != "Basic x" {
		t.Error("ForwardAuthorization does nothing")
	}
}

func jwksFile(t *testing.T, keys ...map[string]any) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return keyFile(t, "jwks.json", b)
}

func rsaJWK(kid string) map[string]any {
	k := &rsaKey().PublicKey
	return map[string]any{"kty": "RSA", "kid": kid, "use": "sig", "n": base64.RawURLEncoding.EncodeToString(k.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(k.E)).Bytes())}
}

func ecJWK(t *testing.T, kid string) map[string]any {
	b, err := ecKey().PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"kty": "EC", "kid": kid, "crv": "P-256", "x": base64.RawURLEncoding.EncodeToString(b[1:33]), "y": base64.RawURLEncoding.EncodeToString(b[33:])}
}

func TestJWKS(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := map[string]any{"kty": "OKP", "kid": "ed", "crv": "Ed25519", "alg": "EdDSA", "x": base64.RawURLEncoding.EncodeToString(public)}
	enc := rsaJWK("enc")
	enc["use"] = "enc"
	auth, err := NewJWT(JWTConfig{Algorithms: []string{"RS256", "ES256", "EdDSA", "HS256"}, JWKSFile: jwksFile(t, rsaJWK("rsa"), ecJWK(t, "ec"), ed, enc,
		map[string]any{"kty": "later", "kid": "x"}, map[string]any{"kty": "oct", "kid": "hs", "k": base64.RawURLEncoding.EncodeToString([]byte(testSecret))})})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		m    jwt.SigningMethod
		key  any
		kid  string
		good bool
	}{
		{"rsa", jwt.SigningMethodRS256, rsaKey(), "rsa", true},
		{"ec", jwt.SigningMethodES256, ecKey(), "ec", true},
		{"ed25519", jwt.SigningMethodEdDSA, private, "ed", true},
		{"hmac", jwt.SigningMethodHS256, []byte(testSecret), "hs", true},
		{"another's kid", jwt.SigningMethodRS256, rsaKey(), "ec", false},
		{"unknown kid", jwt.SigningMethodRS256, rsaKey(), "old", false},
		{"no kid", jwt.SigningMethodRS256, rsaKey(), "", false},
		{"a key for encryption", jwt.SigningMethodRS256, rsaKey(), "enc", false},
		{"HMAC by the public key", jwt.SigningMethodHS256, publicPEM(t, &rsaKey().PublicKey), "rsa", false},
		{"HMAC by the Ed25519 key", jwt.SigningMethodHS256, []byte(public), "ed", false},
	} {
		var header []string
		if c.kid != "" {
			header = []string{"kid", c.kid}
		}
		id, err := auth.Authenticate(request(sign(t, c.m, c.key, goodClaims(), header...)))
		if (err == nil) != c.good || c.good && id != "user-7" {
			t.Errorf("%s: %q %v", c.name, id, err)
		}
	}
}

func TestKeyFileIsReadAgain(t *testing.T) {
	t.Parallel()
	file := keyFile(t, "secret", []byte(testSecret))
	auth, err := NewJWT(JWTConfig{Algorithms: []string{"HS256"}, SecretFile: file, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	next := strings.Repeat("n", 40)
	before, after := sign(t, jwt.SigningMethodHS256, []byte(testSecret), goodClaims()), sign(t, jwt.SigningMethodHS256, []byte(next), goodClaims())
	accepts := func(token string) bool { _, err := auth.Authenticate(request(token)); return err == nil }
	if !accepts(before) || accepts(after) {
		t.Fatal("the first secret is not in force")
	}
	writeFile(t, file, []byte("short"))
	time.Sleep(watchedEvery + 50*time.Millisecond)
	if !accepts(before) {
		t.Error("a bad file took the keys away")
	}
	writeFile(t, file, []byte(next))
	for end := time.Now().Add(5 * time.Second); !accepts(after); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the new secret is not used")
		}
	}
	if accepts(before) {
		t.Error("the old secret is still good")
	}
}

func TestJWTConfigErrors(t *testing.T) {
	pub := keyFile(t, "pub.pem", publicPEM(t, &rsaKey().PublicKey))
	private := keyFile(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey())}))
	short, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	secretFile := keyFile(t, "secret", []byte(testSecret))
	privateJWK := rsaJWK("a")
	privateJWK["d"] = "AQAB"
	for want, c := range map[string]JWTConfig{
		"Algorithms is empty":                {KeyFile: pub},
		`Algorithms[0]: "none"`:              {Algorithms: []string{"none"}, KeyFile: pub},
		`Algorithms[1]: "RS1"`:               {Algorithms: []string{"RS256", "RS1"}, KeyFile: pub},
		"exactly one of":                     {Algorithms: []string{"RS256"}},
		"needs exactly one of":               {Algorithms: []string{"RS256"}, KeyFile: pub, SecretFile: secretFile},
		"HS256 can't be verified":            {Algorithms: []string{"RS256", "HS256"}, KeyFile: pub},
		"ES256 can't be verified":            {Algorithms: []string{"ES256"}, KeyFile: pub},
		"RS256 can't be verified":            {Algorithms: []string{"RS256"}, SecretFile: secretFile},
		"missing.pem":                        {Algorithms: []string{"RS256"}, KeyFile: filepath.Join(t.TempDir(), "missing.pem")},
		"private key":                        {Algorithms: []string{"RS256"}, KeyFile: private},
		"too short; at least 2048":           {Algorithms: []string{"RS256"}, KeyFile: keyFile(t, "short.pem", publicPEM(t, &short.PublicKey))},
		"no PEM block":                       {Algorithms: []string{"RS256"}, KeyFile: secretFile},
		"more than one PEM block":            {Algorithms: []string{"RS256"}, KeyFile: keyFile(t, "two.pem", append(publicPEM(t, &rsaKey().PublicKey), publicPEM(t, &rsaKey().PublicKey)...))},
		"is a PEM file, not a secret":        {Algorithms: []string{"HS256"}, SecretFile: pub},
		"a secret of 5 bytes is too short":   {Algorithms: []string{"HS256"}, SecretFile: keyFile(t, "s", []byte("short\n"))},
		"not a JSON web key set":             {Algorithms: []string{"RS256"}, JWKSFile: pub},
		"no key for signatures":              {Algorithms: []string{"RS256"}, JWKSFile: jwksFile(t)},
		`two keys have the kid "a"`:          {Algorithms: []string{"RS256"}, JWKSFile: jwksFile(t, rsaJWK("a"), rsaJWK("a"))},
		"each needs a kid":                   {Algorithms: []string{"RS256"}, JWKSFile: jwksFile(t, rsaJWK("a"), rsaJWK(""))},
		"keys[0] (kid \"a\"): this is a pri": {Algorithms: []string{"RS256"}, JWKSFile: jwksFile(t, privateJWK)},
		"no key in":                          {Algorithms: []string{"ES256"}, JWKSFile: jwksFile(t, rsaJWK("a"))},
		"Leeway":                             {Algorithms: []string{"RS256"}, KeyFile: pub, Leeway: time.Hour},
		"Realm":                              {Algorithms: []string{"RS256"}, KeyFile: pub, Realm: `a"b`},
	} {
		if _, err := NewJWT(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
