package transport

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// TLSParams are the URL parameters that LoadTLS reads; the first three name PEM files.
var TLSParams = []string{"tls_ca", "tls_cert", "tls_key", "tls_server_name"}

// LoadTLS makes a client's TLS configuration from URL parameters, so that all drivers have the same ones. host is the server's
// name unless tls_server_name is given. Errors are CodeInvalid and name the parameter.
func LoadTLS(params map[string]string, host string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if name := params["tls_server_name"]; name != "" {
		c.ServerName = name
	}
	if path := params["tls_ca"]; path != "" {
		pem, err := os.ReadFile(path) //nolint:gosec // the file that the user names
		if err != nil {
			return nil, badParam("tls_ca: %v", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, badParam("tls_ca: %s holds no PEM certificate", path)
		}
	}
	cert, key := params["tls_cert"], params["tls_key"]
	if (cert == "") != (key == "") {
		return nil, badParam("tls_cert and tls_key go together: one is missing")
	}
	if cert == "" {
		return c, nil
	}
	for _, name := range []string{"tls_cert", "tls_key"} {
		if _, err := os.Stat(params[name]); err != nil {
			return nil, badParam("%s: %v", name, err)
		}
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, badParam("tls_cert, tls_key: %v", err)
	}
	c.Certificates = []tls.Certificate{pair}
	return c, nil
}

func badParam(format string, args ...any) error {
	return &Error{Code: CodeInvalid, Op: "open", Msg: fmt.Sprintf(format, args...)}
}
