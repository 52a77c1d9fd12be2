package mem

import (
	"context"
	"strconv"

	"github.com/streamerson/streamerson/transport"
)

// Browse implements transport.Browser. Entries that all groups have settled are gone and not shown.
func (d *Driver) Browse(ctx context.Context, stream, after string, max int) ([]transport.Delivery, error) {
	fail := func(code transport.Code, msg string) ([]transport.Delivery, error) {
		return nil, &transport.Error{Code: code, Op: "browse", Stream: stream, Msg: msg}
	}
	var seq uint64
	if after != "" {
		var err error
		if seq, err = strconv.ParseUint(after, 10, 64); err != nil {
			return fail(transport.CodeInvalid, "the id to begin after is none that Browse gave")
		}
	}
	if max < 1 {
		return fail(transport.CodeInvalid, "max must be at least 1")
	}
	if err := d.enter(ctx, "browse"); err != nil {
		return nil, err
	}
	defer d.unlock()
	s := d.stream(stream)
	if s == nil {
		return fail(transport.CodeNotFound, "there is no such stream; Ensure makes it")
	}
	var ds []transport.Delivery
	now := d.b.now()
	for e := s.log.head; e != nil && len(ds) < max; e = e.next {
		if e.seq > seq {
			ds = append(ds, transport.Delivery{Stream: stream, ID: e.id(), Body: append([]byte{}, e.body...), Attempt: 1, Age: now - e.at})
		}
	}
	return ds, nil
}

// Remove implements transport.Browser. An entry that a consumer holds can still be settled, but is not delivered again.
func (d *Driver) Remove(ctx context.Context, stream string, ids []string) (int, error) {
	if err := d.enter(ctx, "remove"); err != nil {
		return 0, err
	}
	defer d.unlock()
	s := d.stream(stream)
	if s == nil {
		return 0, &transport.Error{Code: transport.CodeNotFound, Op: "remove", Stream: stream, Msg: "there is no such stream; Ensure makes it"}
	}
	want := make(map[uint64]struct{}, len(ids))
	for _, id := range ids {
		if seq, err := strconv.ParseUint(id, 10, 64); err == nil {
			want[seq] = struct{}{}
		}
	}
	n := 0
	for e := s.log.head; e != nil && n < len(want); {
		next := e.next
		if _, ok := want[e.seq]; ok {
			s.drop(e)
			n++
		}
		e = next
	}
	return n, nil
}
