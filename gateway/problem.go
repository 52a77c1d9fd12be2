package gateway

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport"
)

// problem is a refusal as it is told to a client. Those that are variables are never changed.
type problem struct {
	status     int
	code       string // of rpc.Code's names
	message    string
	retryAfter time.Duration
	closing    bool   // the connection can't be used on
	challenge  string // WWW-Authenticate
}

// retrySoon is the Retry-After of what should be over within a second: Retry-After has no finer unit.
const retrySoon = time.Second

var (
	noRoute          = &problem{status: 404, code: "not_found", message: "no route matches this path"}
	methodNotAllowed = &problem{status: 405, code: "unimplemented", message: "this path is not served for this method; the Allow header lists those that are"}
	methodNotServed  = &problem{status: 405, code: "unimplemented", message: "CONNECT and TRACE are not served"}
	badTarget        = &problem{status: 400, code: "invalid_argument", message: "the request target can't be served", closing: true}
	twoLengths       = &problem{status: 400, code: "invalid_argument", message: "a request must not have both Content-Length and Transfer-Encoding, nor Transfer-Encoding with HTTP/1.0", closing: true}
	tooManyInFlight  = &problem{status: 503, code: "unavailable", message: "too many requests are under way", retryAfter: retrySoon}
	tooManyOnRoute   = &problem{status: 503, code: "unavailable", message: "too many requests to this route are under way", retryAfter: retrySoon}
	badTimeout       = &problem{status: 400, code: "invalid_argument", message: headerTimeout + " must be one positive duration with its unit, such as 250ms or 2s"}
	badIdempotency   = &problem{status: 400, code: "invalid_argument", message: "Idempotency-Key must be one value of at most 255 characters"}
	badContentType   = &problem{status: 400, code: "invalid_argument", message: "Content-Type must be one value of at most 1024 characters"}
	headerTooLarge   = &problem{status: 431, code: "invalid_argument", message: "the request's header is too large, or has more than 256 fields with those that the gateway adds"}
	bodyTooSlow      = &problem{status: 408, code: "deadline_exceeded", message: "the request body did not arrive in time", closing: true}
	bodyBroken       = &problem{status: 400, code: "invalid_argument", message: "the request body is malformed or ended early", closing: true}
	badAnswer        = &problem{status: 502, code: "internal", message: "the worker's answer is not valid HTTP"}
)

func bodyTooLarge(limit int64) *problem {
	return &problem{status: 413, code: "invalid_argument", message: "the request body is larger than the limit of " + strconv.FormatInt(limit, 10) + " bytes", closing: true}
}

// document is the body of a refusal, after RFC 9457.
type document struct {
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Code      string `json:"code"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
}

var problemType = []string{"application/problem+json"}

// fail answers with p.
func (x *exchange) fail(p *problem) {
	h := x.w.Header()
	h["Content-Type"] = problemType
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Cache-Control"] = []string{"no-store"}
	delete(h, "Content-Length")
	if p.retryAfter > 0 {
		h["Retry-After"] = []string{retrySeconds(p.retryAfter)}
	}
	if p.challenge != "" {
		h["Www-Authenticate"] = []string{p.challenge}
	}
	if p.closing && x.r.ProtoMajor == 1 {
		h["Connection"] = closeConnection
	}
	// Marshal can't fail: strings and a number.
	body, _ := json.Marshal(document{http.StatusText(p.status), p.status, p.code, p.message, x.requestID})
	x.writeHeader(p.status)
	if x.r.Method != http.MethodHead {
		_, _ = x.write(append(body, '\n')) // nobody is left to tell
	}
}

// retrySeconds rounds up: sooner would be too soon.
func retrySeconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// failCall answers for a call that failed.
func (x *exchange) failCall(err error) {
	if x.clientGone(err) {
		x.status = StatusClientGone // nobody reads an answer; net/http closes the connection
		return
	}
	e, ok := errors.AsType[*rpc.Error](err)
	if !ok {
		e = &rpc.Error{Code: rpc.CodeOf(err), Err: err}
	}
	p := &problem{status: status(e), code: e.Code.String(), message: message(e)}
	if p.status == http.StatusServiceUnavailable || p.status == http.StatusTooManyRequests {
		p.retryAfter = max(e.RetryAfter, retrySoon)
	}
	if p.status >= 500 && e.Origin == rpc.OriginLocal {
		x.warn(e)
	}
	switch {
	case !validFields(e.Header):
		p = badAnswer
	case e.Origin == rpc.OriginHandler:
		x.addFields(e.Header)
	}
	x.fail(p)
}

// status is the code's, but where what this process found is no fault of the client's.
func status(e *rpc.Error) int {
	if e.Origin == rpc.OriginLocal {
		switch {
		case e.Code == rpc.CodeResourceExhausted, e.Code == rpc.CodeCanceled:
			return http.StatusServiceUnavailable // this process's limit; its shutdown
		case e.Err != nil && transport.IsCode(e.Err, transport.CodeTooLarge):
			return http.StatusRequestEntityTooLarge
		}
	}
	return e.Code.HTTPStatus()
}

// message is what may be told to anyone: a handler's own words, else words that say nothing of what is inside.
func message(e *rpc.Error) string {
	switch {
	case e.Origin == rpc.OriginHandler && e.Message != "":
		return e.Message
	case e.Origin == rpc.OriginLocal && e.Code == rpc.CodeInvalidArgument && e.Message != "":
		return e.Message // the client library's words about this very request
	}
	switch e.Code {
	case rpc.CodeUnavailable:
		if e.Origin == rpc.OriginLocal && e.Published != transport.OutcomeRejected {
			return "the service can't be reached now; the request may have been taken all the same"
		}
		return "the service can't be reached now; try again"
	case rpc.CodeDeadlineExceeded:
		if e.Published == transport.OutcomeRejected && e.Origin == rpc.OriginLocal {
			return "the time for this request ran out before it could be handed on"
		}
		return "no answer in time; the request may still be carried out"
	case rpc.CodeResourceExhausted:
		return "too many requests are under way"
	case rpc.CodeUnimplemented:
		return "the service has no such function"
	case rpc.CodeCanceled:
		return "the request was cancelled"
	case rpc.CodeInvalidArgument:
		return "the request can't be handed on as it is"
	}
	return "the request failed"
}

// warn logs what a client isn't told, at most once a second: a broker that is down would fill the log.
func (x *exchange) warn(e *rpc.Error) {
	if e.Code == rpc.CodeDeadlineExceeded {
		return // the observer counts these; each is one slow call, not a fault of this process
	}
	x.g.warnings.Do(func() {
		x.g.cfg.Logger.Warn("request failed", "route", x.route.pattern, "stream", x.route.Stream, "request_id", x.requestID, "error", e)
	})
}
