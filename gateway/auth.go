package gateway

import (
	"errors"
	"net/http"
)

// Authenticator tells who sent a request. It is called from many goroutines at once, on the hot path, before the body is
// read; it must not read the body, must not change r, and must not keep r or its Header: they are used again for the next request.
type Authenticator interface {
	// Authenticate returns the caller's identity, which the worker gets as rpc.HeaderIdentity; "" is an anonymous caller
	// that is let in. An error refuses the request: an *AuthError says how, any other is a plain 401 whose text is not told.
	Authenticate(r *http.Request) (identity string, err error)
}

// AuthError refuses a request.
type AuthError struct {
	// Status is 401 if 0; 403 is for a known caller who may not.
	Status int
	// Message is told to the client.
	Message string
	// Challenge is the WWW-Authenticate field of a 401; "" means "Bearer".
	Challenge string
	// Err is the cause, which is not told.
	Err error
}

func (e *AuthError) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

func (e *AuthError) Unwrap() error { return e.Err }

func (x *exchange) unauthenticated(err error) {
	p := &problem{status: http.StatusUnauthorized, code: "unauthenticated", message: "the request is not authenticated", challenge: "Bearer"}
	e, ok := errors.AsType[*AuthError](err)
	if !ok || e.Status >= 500 { // not a client's fault, perhaps: an operator should know
		x.g.warnings.Do(func() {
			x.g.cfg.Logger.Warn("authenticating failed", "route", x.route.pattern, "request_id", x.requestID, "error", err)
		})
	}
	if ok {
		if e.Message != "" {
			p.message = e.Message
		}
		if e.Challenge != "" {
			p.challenge = e.Challenge
		}
		if e.Status >= 400 && e.Status <= 599 && e.Status != p.status {
			p.status, p.challenge = e.Status, ""
			switch {
			case e.Status == http.StatusForbidden:
				p.code = "permission_denied"
			case e.Status >= 500:
				p.code, p.retryAfter = "unavailable", retrySoon
			}
		}
	}
	x.fail(p)
}
