package gateway

import (
	"errors"
	"io"
	"net"
	"sync"
)

const (
	// firstRead is the buffer that a body begins with, in bytes, whatever length it claims: the memory that a client can
	// make the gateway take grows with what it has sent.
	firstRead = 16 << 10
	// maxKeptBody is the largest buffer that stays in the pool.
	maxKeptBody = 1 << 20
)

var bodies = sync.Pool{New: func() any { b := make([]byte, 0, firstRead); return &b }}

// readBody reads the whole body, as it is: a declared encoding is the handler's business, so nothing is inflated here.
func (x *exchange) readBody(limit int64) *problem {
	declared := x.r.ContentLength
	if declared > limit {
		return bodyTooLarge(limit)
	}
	if declared == 0 || x.r.Body == nil {
		return nil
	}
	if b, ok := x.r.Body.(*directBody); ok {
		if p, ok := b.whole(); ok { // the connection's own buffer stays as it is until the answer
			x.req.Body = p
			return nil
		}
	}
	x.body = bodies.Get().(*[]byte)
	buf := (*x.body)[:0]
	for {
		if len(buf) == cap(buf) {
			buf = grow(buf, declared)
		}
		// One more byte than the limit tells a body that is too large from one that just fits.
		n, err := x.r.Body.Read(buf[len(buf):min(int64(cap(buf)), limit+1)])
		buf = buf[:len(buf)+n]
		*x.body = buf
		switch {
		case int64(len(buf)) > limit:
			return bodyTooLarge(limit)
		case err == io.EOF:
			x.req.Body = buf
			return nil
		case err != nil:
			return bodyProblem(err)
		}
	}
}

// grow doubles a full buffer, or makes it just what is still to come if that is less; then one byte is left for the read
// that finds the end.
func grow(buf []byte, declared int64) []byte {
	size := 2 * cap(buf)
	if declared > 0 && declared < int64(size) && declared >= int64(len(buf)) {
		size = int(declared) + 1
	}
	return append(make([]byte, 0, size), buf...)
}

func bodyProblem(err error) *problem {
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return bodyTooSlow
	}
	return bodyBroken
}

// dropBody gives the buffer back. The call must have returned.
func (x *exchange) dropBody() {
	if x.body != nil && cap(*x.body) <= maxKeptBody {
		bodies.Put(x.body)
	}
	x.body, x.req.Body = nil, nil
}
