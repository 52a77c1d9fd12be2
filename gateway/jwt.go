package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/net/http/httpguts"
)

// JWTConfig says which bearer tokens are good.
type JWTConfig struct {
	// Algorithms that a token may be signed with: of RS256–512, PS256–512, ES256–512, EdDSA and HS256–512. At least one;
	// "none" never. One that no key fits is an error for a single key.
	Algorithms []string
	// Issuer and Audience that a token must have, each unless it is "".
	Issuer, Audience string
	// Exactly one of these names the keys. They are read again when they change; one that can't be used leaves the old keys.
	//
	// KeyFile is a PEM file with one public key or certificate, JWKSFile a JSON web key set, whose keys a token picks by its
	// kid, SecretFile the shared secret of the HS algorithms, at least 32 bytes, without the line ends around it.
	KeyFile, JWKSFile, SecretFile string
	// Leeway is how far clocks may differ for exp, nbf and iat. 0 means none; at most MaxLeeway.
	Leeway time.Duration
	// Claims that a token must have, with these values; a list must contain the value.
	Claims map[string]string
	// IdentityClaims are added to the identity. Without them the identity is the token's sub as it is; with them it is a
	// JSON object of sub and those of the claims that the token has.
	IdentityClaims []string
	// Realm is told in WWW-Authenticate; "" means "streamerson".
	Realm string
	// Logger gets changes of the key file; nil means slog.Default.
	Logger *slog.Logger
}

const (
	// MaxLeeway keeps a mistyped leeway from letting tokens live for ever.
	MaxLeeway = 5 * time.Minute
	// maxToken and maxIdentity are the longest of their kind that are taken, in bytes.
	maxToken    = 16 << 10
	maxIdentity = 4 << 10
)

// JWT authenticates by a bearer token in the Authorization header. exp and sub are always required.
type JWT struct {
	cfg    JWTConfig
	parser *jwt.Parser
	keys   *watched[[]verifyKey]
}

// NewJWT checks cfg and reads the keys. Errors name the field or file.
func NewJWT(cfg JWTConfig) (*JWT, error) {
	if len(cfg.Algorithms) == 0 {
		return nil, errors.New("gateway: JWTConfig.Algorithms is empty; name those that the issuer signs with, such as RS256")
	}
	for i, a := range cfg.Algorithms {
		if m := jwt.GetSigningMethod(a); m == nil || a == jwt.SigningMethodNone.Alg() {
			return nil, fmt.Errorf("gateway: JWTConfig.Algorithms[%d]: %q is not an algorithm that can be trusted", i, a)
		}
	}
	if cfg.Leeway < 0 || cfg.Leeway > MaxLeeway {
		return nil, fmt.Errorf("gateway: JWTConfig.Leeway must be between 0 and %v", MaxLeeway)
	}
	if cfg.Realm == "" {
		cfg.Realm = "streamerson"
	}
	if strings.ContainsAny(cfg.Realm, "\"\\") || !httpguts.ValidHeaderFieldValue(cfg.Realm) {
		return nil, errors.New("gateway: JWTConfig.Realm has a character that a header can't carry")
	}
	load, err := cfg.loader()
	if err != nil {
		return nil, err
	}
	opts := []jwt.ParserOption{jwt.WithValidMethods(cfg.Algorithms), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithLeeway(cfg.Leeway), jwt.WithStrictDecoding()}
	if cfg.Issuer != "" {
		opts = append(opts, jwt.WithIssuer(cfg.Issuer))
	}
	if cfg.Audience != "" {
		opts = append(opts, jwt.WithAudience(cfg.Audience))
	}
	j := &JWT{cfg: cfg, parser: jwt.NewParser(opts...)}
	j.keys, err = watch("the key file of JWT", cfg.Logger, load, cfg.file())
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return j, nil
}

func (c *JWTConfig) file() string { return c.KeyFile + c.JWKSFile + c.SecretFile }

func (c *JWTConfig) loader() (func() ([]verifyKey, error), error) {
	var load func(string) ([]verifyKey, error)
	var field string
	n := 0
	for _, f := range []struct {
		field, file string
		load        func(string) ([]verifyKey, error)
	}{{"KeyFile", c.KeyFile, loadPEM}, {"JWKSFile", c.JWKSFile, loadJWKS}, {"SecretFile", c.SecretFile, loadSecret}} {
		if f.file != "" {
			n, field, load = n+1, f.field, f.load
		}
	}
	if n != 1 {
		return nil, errors.New("gateway: JWTConfig needs exactly one of KeyFile, JWKSFile and SecretFile")
	}
	algorithms := c.Algorithms
	return func() ([]verifyKey, error) {
		keys, err := load(c.file())
		if err != nil {
			return nil, fmt.Errorf("JWTConfig.%s: %w", field, err)
		}
		used := func(alg string) bool {
			return slices.ContainsFunc(keys, func(k verifyKey) bool { return k.fits(alg) })
		}
		// A key set may be ahead of the algorithms or behind them; a single key that fits none, or leaves one without a key,
		// is a mistake.
		for _, alg := range algorithms {
			if field != "JWKSFile" && !used(alg) {
				return nil, fmt.Errorf("JWTConfig.Algorithms: %s can't be verified with the key in %s", alg, c.file())
			}
		}
		if !slices.ContainsFunc(algorithms, used) {
			return nil, fmt.Errorf("JWTConfig.Algorithms: no key in %s can verify any of %s", c.file(), strings.Join(algorithms, ", "))
		}
		return keys, nil
	}, nil
}

// Authenticate returns the identity in a request's token.
func (j *JWT) Authenticate(r *http.Request) (string, error) {
	v := r.Header[headerAuthorization]
	if len(v) == 0 {
		return "", &AuthError{Message: "a bearer token is needed", Challenge: `Bearer realm="` + j.cfg.Realm + `"`}
	}
	scheme, token, ok := strings.Cut(v[0], " ")
	if len(v) > 1 || !ok || !strings.EqualFold(scheme, "Bearer") || len(token) > maxToken {
		return "", j.refuse("the Authorization header must be one bearer token", nil)
	}
	claims := jwt.MapClaims{}
	if _, err := j.parser.ParseWithClaims(strings.TrimSpace(token), claims, j.key); err != nil {
		return "", j.refuse(reason(err), err)
	}
	for name, want := range j.cfg.Claims {
		if !hasClaim(claims[name], want) {
			return "", &AuthError{Status: http.StatusForbidden, Message: "the token does not have what this service asks for"}
		}
	}
	return j.identity(claims)
}

// key picks the key that may verify the token: by its kid where keys have one, and only for the algorithms of its kind.
func (j *JWT) key(t *jwt.Token) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, errors.New("critical extensions are not known here")
	}
	kid, _ := t.Header["kid"].(string)
	keys := j.keys.get()
	for i := range keys {
		k := &keys[i]
		if (k.id == kid || k.id == "" || kid == "" && len(keys) == 1) && k.fits(t.Method.Alg()) {
			return k.forJWT(), nil
		}
	}
	return nil, errors.New("no key fits")
}

// identity is what workers will know of the caller.
func (j *JWT) identity(claims jwt.MapClaims) (string, error) {
	sub, err := claims.GetSubject()
	if err != nil || sub == "" {
		return "", j.refuse("the token names no subject", err)
	}
	id := sub
	if len(j.cfg.IdentityClaims) > 0 {
		out := map[string]any{"sub": sub}
		for _, name := range j.cfg.IdentityClaims {
			if v, ok := claims[name]; ok {
				out[name] = v
			}
		}
		b, err := json.Marshal(out)
		if err != nil {
			return "", j.refuse("the token's claims can't be read", err)
		}
		id = string(b)
	}
	if len(id) > maxIdentity || !httpguts.ValidHeaderFieldValue(id) || strings.TrimSpace(id) != id {
		return "", j.refuse("the token's subject can't be passed on", nil)
	}
	return id, nil
}

func (j *JWT) refuse(why string, err error) *AuthError {
	return &AuthError{Message: why, Err: err, Challenge: `Bearer realm="` + j.cfg.Realm + `", error="invalid_token", error_description="` + why + `"`}
}

// reason tells a client what to do about its token, and nothing about keys.
func reason(err error) string {
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return "the token has expired"
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return "the token is not valid yet"
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return "the token is for another audience"
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return "the token is of another issuer"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return "the token lacks a claim that is needed"
	case errors.Is(err, jwt.ErrTokenMalformed):
		return "the token is malformed"
	}
	return "the token can't be verified"
}

func hasClaim(v any, want string) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(one any) bool { return hasClaim(one, want) })
	case string:
		return v == want
	case bool, float64:
		return fmt.Sprint(v) == want
	}
	return false
}
