package wire_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/streamerson/streamerson/rpc/wire"
)

func randomEnvelope(rnd *rand.Rand) *wire.Envelope {
	str := func() string {
		if rnd.IntN(3) == 0 {
			return ""
		}
		b := make([]byte, rnd.IntN(300))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		return string(b)
	}
	e := &wire.Envelope{
		Kind: wire.Kind(1 + rnd.IntN(5)), Code: wire.Code(rnd.IntN(17)), Inferred: rnd.IntN(2) == 0, Status: uint16(rnd.Uint32()), Attempt: uint16(rnd.Uint32()),
		Deadline: int64(rnd.Uint64()), Budget: rnd.Uint32(), QueueMicros: rnd.Uint32(), HandlerMicros: rnd.Uint32(),
		ReplyTo: str(), Stream: str(), Function: str(), ContentType: str(), Trace: str(), TraceState: str(), IdempotencyKey: str(), Message: str(),
		Body: []byte(str()),
	}
	for i := range e.ID {
		e.ID[i] = byte(rnd.Uint32())
	}
	for range rnd.IntN(20) {
		e.Headers = append(e.Headers, wire.Field{Name: str(), Value: str()})
	}
	return e
}

func TestRoundTrip(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	prefix := []byte("kept")
	var reused wire.Envelope
	for range 2000 {
		e := randomEnvelope(rnd)
		frame := wire.Append(prefix, e)
		if !bytes.HasPrefix(frame, prefix) {
			t.Fatal("Append changed what was there")
		}
		frame = frame[len(prefix):]
		var fresh wire.Envelope
		if err := wire.Decode(&fresh, frame); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&fresh, e) {
			t.Fatalf("%+v came back as %+v", e, fresh)
		}
		if err := wire.Decode(&reused, frame); err != nil {
			t.Fatal(err)
		}
		if len(reused.Headers) == 0 {
			reused.Headers, fresh.Headers = nil, nil
		}
		if !reflect.DeepEqual(reused, fresh) {
			t.Fatalf("into a used envelope: %+v, into a new one: %+v", reused, fresh)
		}
	}
}

// TestAliasing: strings are copies, the body is not, and appending to the body does not write behind the frame.
func TestAliasing(t *testing.T) {
	frame := wire.Append(make([]byte, 0, 500), &wire.Envelope{Kind: wire.KindRequest, Function: "f", Headers: wire.Header{{Name: "n", Value: "v"}}, Body: []byte("b")})
	var e wire.Envelope
	if err := wire.Decode(&e, frame); err != nil {
		t.Fatal(err)
	}
	if longer := append(e.Body, 'x'); &longer[0] == &e.Body[0] {
		t.Error("appending to the body writes into the caller's buffer")
	}
	for i := range frame {
		frame[i] = '?'
	}
	if e.Function != "f" || e.Headers[0] != (wire.Field{Name: "n", Value: "v"}) || string(e.Body) != "?" {
		t.Errorf("%+v", e)
	}
}
