package gateway

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// minRSABits and minSecret are the least that RFC 7518 allows for RS256 and HS256.
	minRSABits = 2048
	minSecret  = 32
)

// secret is the key of HS algorithms: a type of its own, so that nothing else can be taken for one.
type secret []byte

// verifyKey is a key with the algorithms that it can be used for. A token's header never chooses the kind of key.
type verifyKey struct {
	id  string // kid, "" if it has none
	alg string // the one algorithm that the key's file allows, "" if it doesn't say
	key any    // *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or secret
}

// fits reports whether the key may verify signatures made with alg.
func (k *verifyKey) fits(alg string) bool {
	if k.alg != "" && k.alg != alg {
		return false
	}
	method := jwt.GetSigningMethod(alg)
	switch key := k.key.(type) {
	case secret:
		_, ok := method.(*jwt.SigningMethodHMAC)
		return ok
	case *rsa.PublicKey:
		_, rs := method.(*jwt.SigningMethodRSA)
		_, ps := method.(*jwt.SigningMethodRSAPSS)
		return rs || ps
	case *ecdsa.PublicKey:
		m, ok := method.(*jwt.SigningMethodECDSA)
		return ok && m.CurveBits == key.Curve.Params().BitSize
	case ed25519.PublicKey:
		_, ok := method.(*jwt.SigningMethodEd25519)
		return ok
	}
	return false
}

// forJWT is the key in the type that the library wants.
func (k *verifyKey) forJWT() any {
	if s, ok := k.key.(secret); ok {
		return []byte(s)
	}
	return k.key
}

// loadPEM reads one public key or certificate.
func loadPEM(file string) ([]verifyKey, error) {
	data, err := readSmallFile(file)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s has no PEM block; it should begin with -----BEGIN PUBLIC KEY-----", file)
	}
	if more, _ := pem.Decode(rest); more != nil {
		return nil, fmt.Errorf("%s has more than one PEM block; for several keys use a JWKS file", file)
	}
	key, err := parseBlock(block)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := checkKey(key); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return []verifyKey{{key: key}}, nil
}

func parseBlock(b *pem.Block) (crypto.PublicKey, error) {
	switch b.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(b.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(b.Bytes)
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		return c.PublicKey, nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("this is a private key; a gateway needs the public one, and should not be able to sign")
	}
	return nil, fmt.Errorf("a PEM block of type %q is no public key", b.Type)
}

func checkKey(key any) error {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < minRSABits {
			return fmt.Errorf("an RSA key of %d bits is too short; at least %d", k.N.BitLen(), minRSABits)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	case secret:
		if len(k) < minSecret {
			return fmt.Errorf("a secret of %d bytes is too short; at least %d", len(k), minSecret)
		}
	default:
		return fmt.Errorf("keys of type %T can't verify tokens", key)
	}
	return nil
}

// loadSecret reads the shared secret of the HS algorithms; line ends around it are not a part of it.
func loadSecret(file string) ([]verifyKey, error) {
	data, err := readSmallFile(file)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(data); block != nil {
		return nil, fmt.Errorf("%s is a PEM file, not a secret: a public key is known to everybody", file)
	}
	s := secret(bytes.Trim(data, "\r\n"))
	if err := checkKey(s); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return []verifyKey{{key: s}}, nil
}
