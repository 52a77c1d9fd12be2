package gateway

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// jwk is one key of a JSON web key set (RFC 7517), as far as signatures need it.
type jwk struct {
	Kty    string   `json:"kty"`
	Kid    string   `json:"kid"`
	Use    string   `json:"use"`
	KeyOps []string `json:"key_ops"`
	Alg    string   `json:"alg"`
	N      string   `json:"n"`
	E      string   `json:"e"`
	Crv    string   `json:"crv"`
	X      string   `json:"x"`
	Y      string   `json:"y"`
	K      string   `json:"k"`
	D      string   `json:"d"` // of a private key
}

// loadJWKS reads the signature keys of a set. Keys for encryption and of unknown types are passed over, as the RFC asks.
func loadJWKS(file string) ([]verifyKey, error) {
	data, err := readSmallFile(file)
	if err != nil {
		return nil, err
	}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, fmt.Errorf("%s is not a JSON web key set: %w", file, err)
	}
	var keys []verifyKey
	for i := range set.Keys {
		j := &set.Keys[i]
		if j.Use != "" && j.Use != "sig" || len(j.KeyOps) > 0 && !slices.Contains(j.KeyOps, "verify") {
			continue
		}
		key, err := j.public()
		if err == nil && key != nil {
			err = checkKey(key)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: keys[%d] (kid %q): %w", file, i, j.Kid, err)
		}
		if key == nil {
			continue
		}
		if slices.ContainsFunc(keys, func(k verifyKey) bool { return k.id == j.Kid }) {
			return nil, fmt.Errorf("%s: keys[%d]: two keys have the kid %q", file, i, j.Kid)
		}
		keys = append(keys, verifyKey{id: j.Kid, alg: j.Alg, key: key})
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s has no key for signatures", file)
	}
	if len(keys) > 1 && slices.ContainsFunc(keys, func(k verifyKey) bool { return k.id == "" }) {
		return nil, fmt.Errorf("%s: with several keys each needs a kid", file)
	}
	return keys, nil
}

// public returns nil for a type that is not known.
func (j *jwk) public() (any, error) {
	if j.D != "" {
		return nil, errors.New("this is a private key; a gateway needs the public one, and should not be able to sign")
	}
	switch j.Kty {
	case "RSA":
		n, e := number(j.N), number(j.E)
		if n == nil || e == nil || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 {
			return nil, errors.New("n or e is not a base64url number in range")
		}
		return &rsa.PublicKey{N: n, E: int(e.Int64())}, nil
	case "EC":
		return j.ec()
	case "OKP":
		if j.Crv != "Ed25519" {
			return nil, nil
		}
		x, err := base64.RawURLEncoding.DecodeString(j.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return nil, errors.New("x is not an Ed25519 key in base64url")
		}
		return ed25519.PublicKey(x), nil
	case "oct":
		k, err := base64.RawURLEncoding.DecodeString(j.K)
		if err != nil {
			return nil, errors.New("k is not base64url")
		}
		return secret(k), nil
	}
	return nil, nil
}

func (j *jwk) ec() (any, error) {
	curves := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}
	curve := curves[j.Crv]
	if curve == nil {
		return nil, nil
	}
	x, xerr := base64.RawURLEncoding.DecodeString(j.X)
	y, yerr := base64.RawURLEncoding.DecodeString(j.Y)
	size := (curve.Params().BitSize + 7) / 8
	if xerr != nil || yerr != nil || len(x) != size || len(y) != size {
		return nil, fmt.Errorf("x and y must be %d bytes each in base64url", size)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, append(append([]byte{4}, x...), y...))
	if err != nil {
		return nil, fmt.Errorf("x and y are no point of %s", j.Crv)
	}
	return key, nil
}

// number reads a base64url number, nil if it is none.
func number(s string) *big.Int {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) == 0 {
		return nil
	}
	return new(big.Int).SetBytes(b)
}
