package load

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

func TestPayloadsTellCallsApart(t *testing.T) {
	for _, size := range []int{8, 13, 128} {
		a, b, again := make([]byte, size), make([]byte, size), make([]byte, size)
		Fill(a, 1)
		Fill(b, 2)
		Fill(again, 1)
		if Same(a, b) || !Same(a, again) || Same(a, a[:size-1]) {
			t.Errorf("size %d: payloads don't tell calls apart", size)
		}
		if size > 16 && bytes.Equal(a[16:], b[16:]) {
			t.Errorf("size %d: the tails of two payloads are the same", size)
		}
	}
}

// callerFunc is a Caller.
type callerFunc func(body []byte) ([]byte, error)

func (f callerFunc) Call(_ context.Context, _, body []byte) ([]byte, error) { return f(body) }

func TestDriveChecksEveryReply(t *testing.T) {
	r := Drive(t.Context(), callerFunc(func(body []byte) ([]byte, error) {
		switch n := binary.LittleEndian.Uint64(body); {
		case n%10 == 3:
			return nil, errors.New("refused")
		case n%10 == 7:
			other := make([]byte, len(body)) // another call's reply
			Fill(other, n+1)
			return other, nil
		case n%10 == 9:
			return body[:len(body)-1], nil
		}
		time.Sleep(time.Millisecond)
		return body, nil
	}), Load{Calls: 200, InFlight: 16, Size: 64})
	if r.OK != 140 || r.Wrong != 40 || r.Errors["refused"] != 20 || r.Failed() != 60 {
		t.Errorf("got %+v", r)
	}
	if r.P50 < time.Millisecond || r.Max < r.P99 || r.P99 < r.P50 {
		t.Errorf("quantiles count failed calls or are out of order: %+v", r)
	}
}

func TestDriveCountsWhatItDidNotMake(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := Drive(ctx, callerFunc(func(body []byte) ([]byte, error) {
		if binary.LittleEndian.Uint64(body) == 9 {
			cancel()
		}
		return body, nil
	}), Load{Calls: 100, InFlight: 1, Size: 8})
	if r.OK != 10 || r.Errors["not made: the run was cut short"] != 90 {
		t.Errorf("got %+v", r)
	}
}

func TestQuantilesAreNearestRanks(t *testing.T) {
	var r Result
	r.quantiles([]int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	if r.P50 != 5 || r.P90 != 9 || r.P99 != 10 || r.Max != 10 {
		t.Errorf("got %+v", r)
	}
}
