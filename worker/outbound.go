package worker

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// outbound is a request on its way from a stream to an HTTP server, with what it takes to know when the transport has let
// go of the body: it may read on after RoundTrip has returned.
type outbound struct {
	inbound
	open sync.WaitGroup
}

// arm gives r a body for one more attempt.
func (o *outbound) arm(r *http.Request) {
	data := o.message.Body
	if len(data) == 0 {
		return
	}
	// GetBody lets the transport itself try again on another connection when the target had closed an idle one.
	r.GetBody = func() (io.ReadCloser, error) {
		o.open.Add(1)
		b := &outBody{o: o}
		b.Reset(data)
		return b, nil
	}
	r.Body, _ = r.GetBody()
}

// wait returns when every body handed out is closed, which the transport does soon after it answered or failed.
func (o *outbound) wait() { o.open.Wait() }

// outBody is closed exactly once for its owner, however often the transport closes it.
type outBody struct {
	bytes.Reader
	o    *outbound
	once sync.Once
}

func (b *outBody) Close() error {
	b.once.Do(b.o.open.Done)
	return nil
}
