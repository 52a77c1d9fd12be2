package wire

// Code is the result of a call: the closed set of gRPC's codes, with gRPC's numbers.
type Code uint8

// The codes.
const (
	CodeOK                 Code = 0
	CodeCanceled           Code = 1
	CodeUnknown            Code = 2
	CodeInvalidArgument    Code = 3
	CodeDeadlineExceeded   Code = 4
	CodeNotFound           Code = 5
	CodeAlreadyExists      Code = 6
	CodePermissionDenied   Code = 7
	CodeResourceExhausted  Code = 8
	CodeFailedPrecondition Code = 9
	CodeAborted            Code = 10
	CodeOutOfRange         Code = 11
	CodeUnimplemented      Code = 12
	CodeInternal           Code = 13
	CodeUnavailable        Code = 14
	CodeDataLoss           Code = 15
	CodeUnauthenticated    Code = 16
	codeCount              Code = 17
)

var codeNames = [codeCount]string{
	"ok", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists", "permission_denied",
	"resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal", "unavailable", "data_loss",
	"unauthenticated",
}

// httpStatus follows google.rpc.Code's published mapping, but for canceled: 499 is what nginx logs for a client that left.
var httpStatus = [codeCount]int{200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401}

// String is the code's gRPC name in lower case with underscores.
func (c Code) String() string {
	if c < codeCount {
		return codeNames[c]
	}
	return "unknown"
}

// Valid reports whether c is in the set.
func (c Code) Valid() bool { return c < codeCount }

// HTTPStatus is the status that a gateway answers for c.
func (c Code) HTTPStatus() int {
	if c < codeCount {
		return httpStatus[c]
	}
	return 500
}

// ParseCode reads what String wrote.
func ParseCode(s string) (Code, bool) {
	for i, n := range codeNames {
		if n == s {
			return Code(i), true
		}
	}
	return CodeUnknown, false
}

// CodeFromHTTP is the nearest code for an HTTP status, for callers that know only codes. Every 2xx and 3xx is CodeOK.
func CodeFromHTTP(status int) Code {
	switch {
	case status >= 200 && status < 400:
		return CodeOK
	case status == 499:
		return CodeCanceled
	case status == 400, status == 413, status == 415, status == 422:
		return CodeInvalidArgument
	case status == 401:
		return CodeUnauthenticated
	case status == 403:
		return CodePermissionDenied
	case status == 404:
		return CodeNotFound
	case status == 408, status == 504:
		return CodeDeadlineExceeded
	case status == 409:
		return CodeAborted
	case status == 412:
		return CodeFailedPrecondition
	case status == 416:
		return CodeOutOfRange
	case status == 429:
		return CodeResourceExhausted
	case status == 501:
		return CodeUnimplemented
	case status == 502, status == 503:
		return CodeUnavailable
	case status == 500:
		return CodeInternal
	}
	return CodeUnknown
}
