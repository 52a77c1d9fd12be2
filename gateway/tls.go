package gateway

import (
	"crypto/tls"
	"errors"
	"fmt"
)

// tls returns nil without TLS. The pair of files is read again when one changes.
func (c *ServerConfig) tls() (*tls.Config, error) {
	if c.CertFile == "" && c.KeyFile == "" {
		return nil, nil
	}
	if c.CertFile == "" || c.KeyFile == "" {
		return nil, errors.New("gateway: TLS needs both a certificate file and a key file; only one is set")
	}
	pair, err := watch("the TLS certificate", c.Logger, func() (*tls.Certificate, error) {
		cert, err := readSmallFile(c.CertFile)
		if err != nil {
			return nil, fmt.Errorf("TLS certificate file: %w", err)
		}
		key, err := readSmallFile(c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("TLS key file: %w", err)
		}
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("TLS files %s and %s: %w", c.CertFile, c.KeyFile, err)
		}
		return &pair, nil
	}, c.CertFile, c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get(), nil },
	}, nil
}
