package rpc_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/streamerson/streamerson/rpc"
	"github.com/streamerson/streamerson/transport/mem"
)

type greeting struct {
	Name string `json:"name"`
}

// TestTypedOverTheStream sends typed calls of every format through a client, a stream and a server.
func TestTypedOverTheStream(t *testing.T) {
	d := mem.New()
	defer func() { _ = d.Close(context.Background()) }()
	s, err := rpc.NewServer(d, rpc.ServerConfig{Streams: []rpc.StreamConfig{{Name: "typed"}}})
	if err != nil {
		t.Fatal(err)
	}
	rpc.Handle(s, "greet", func(ctx context.Context, g greeting) (greeting, error) {
		if rpc.RequestFrom(ctx).Function != "greet" {
			t.Error("the request is not in the context")
		}
		if g.Name == "" {
			return g, rpc.Errorf(rpc.CodeNotFound, "nobody")
		}
		return greeting{"hello " + g.Name}, nil
	})
	rpc.Handle(s, "double", func(_ context.Context, d *durationpb.Duration) (*durationpb.Duration, error) {
		return durationpb.New(2 * d.AsDuration()), nil
	})
	rpc.Handle(s, "reverse", func(_ context.Context, b []byte) ([]byte, error) {
		b = bytes.Clone(b)
		for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
		return b, nil
	})
	rpc.Handle(s, "nothing", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	rpc.Handle(s, "gone", func(context.Context, struct{}) (*rpc.Response, error) {
		return &rpc.Response{Status: 410, Body: []byte("long gone")}, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	for s.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	c, err := rpc.NewClient(t.Context(), d, rpc.ClientConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()

	if got, err := rpc.Call[greeting](t.Context(), c, "typed", "greet", greeting{"ada"}); err != nil || got.Name != "hello ada" {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := rpc.Call[greeting](t.Context(), c, "typed", "greet", greeting{}); rpc.CodeOf(err) != rpc.CodeNotFound || !strings.Contains(err.Error(), "nobody") {
		t.Error(err)
	}
	if _, err := rpc.Call[greeting](t.Context(), c, "typed", "greet", map[string]int{"name": 7}); rpc.CodeOf(err) != rpc.CodeInvalidArgument || !strings.Contains(err.Error(), "field name") {
		t.Error(err)
	}
	if got, err := rpc.Call[*durationpb.Duration](t.Context(), c, "typed", "double", durationpb.New(time.Second)); err != nil || !proto.Equal(got, durationpb.New(2*time.Second)) {
		t.Errorf("%v %v", got, err)
	}
	if got, err := rpc.Call[string](t.Context(), c, "typed", "double", "not protobuf, and not JSON"); rpc.CodeOf(err) != rpc.CodeInvalidArgument || !strings.Contains(err.Error(), "octet-stream") {
		t.Errorf("%v %v", got, err)
	}
	if got, err := rpc.Call[[]byte](t.Context(), c, "typed", "reverse", []byte{1, 2, 255}); err != nil || !bytes.Equal(got, []byte{255, 2, 1}) {
		t.Errorf("%v %v", got, err)
	}
	if _, err := rpc.Call[struct{}](t.Context(), c, "typed", "nothing", nil); err != nil {
		t.Error(err)
	}
	if _, err := rpc.Call[struct{}](t.Context(), c, "typed", "gone", nil); err == nil || !strings.Contains(err.Error(), "long gone") {
		t.Error(err)
	}
	if got, err := rpc.Call[*rpc.Response](t.Context(), c, "typed", "gone", nil); err != nil || got.Status != 410 || got.Timing.Total <= 0 {
		t.Errorf("%+v %v", got, err)
	}
}
