package main

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"github.com/streamerson/streamerson/bench/peers/go/role"
)

// NATS's services framework as the README of nats.go/micro shows it: one service with one endpoint, in the default queue
// group; the client calls it with nc.Request, which the framework gives no substitute for.

func startMicroWorker(_ context.Context, s role.Spec) (*role.Part, error) {
	nc, err := nats.Connect(s.URL)
	if err != nil {
		return nil, err
	}
	service, err := micro.AddService(nc, micro.Config{
		Name: "echo", Version: "1.0.0",
		Endpoint: &micro.EndpointConfig{Subject: s.Stream, Handler: micro.HandlerFunc(func(r micro.Request) { _ = r.Respond(r.Data()) })},
	})
	if err == nil {
		err = nc.Flush()
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return &role.Part{Close: func(context.Context) error {
		err := service.Stop()
		nc.Close()
		return err
	}}, nil
}

type natsCaller struct {
	nc      *nats.Conn
	subject string
}

func startMicroClient(_ context.Context, s role.Spec) (*role.Part, error) {
	nc, err := nats.Connect(s.URL)
	if err != nil {
		return nil, err
	}
	return &role.Part{Caller: natsCaller{nc, s.Stream}, Close: func(context.Context) error { nc.Close(); return nil }}, nil
}

func (c natsCaller) Call(ctx context.Context, body []byte) ([]byte, error) {
	m, err := c.nc.RequestWithContext(ctx, c.subject, body)
	if err != nil {
		return nil, err
	}
	if text := m.Header.Get(micro.ErrorHeader); text != "" {
		return nil, errors.New(text)
	}
	return m.Data, nil
}
