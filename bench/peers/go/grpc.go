package main

import (
	"context"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/streamerson/streamerson/bench/peers/go/role"
)

// gRPC: one unary method that takes and returns bytes, over one kept channel, as its performance guide advises ("always
// re-use stubs and channels when possible"). The message is protobuf's own BytesValue, so nothing needs to be generated.

const (
	grpcService = "streamerson.bench.Echo"
	grpcMethod  = "/" + grpcService + "/Echo"
)

// echoServer is what the service's description names as its type.
type echoServer interface {
	Echo(ctx context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error)
}

type grpcEcho struct{}

func (grpcEcho) Echo(_ context.Context, in *wrapperspb.BytesValue) (*wrapperspb.BytesValue, error) {
	return in, nil
}

// echoDesc is what protoc-gen-go-grpc writes for a service of one unary method.
var echoDesc = grpc.ServiceDesc{
	ServiceName: grpcService,
	HandlerType: (*echoServer)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Echo", Handler: func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		in := new(wrapperspb.BytesValue)
		if err := decode(in); err != nil {
			return nil, err
		}
		if interceptor == nil {
			return srv.(echoServer).Echo(ctx, in)
		}
		info := &grpc.UnaryServerInfo{Server: srv, FullMethod: grpcMethod}
		return interceptor(ctx, in, info, func(ctx context.Context, in any) (any, error) {
			return srv.(echoServer).Echo(ctx, in.(*wrapperspb.BytesValue))
		})
	}}},
}

func startGRPCServer(context.Context, role.Spec) (*role.Part, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := grpc.NewServer()
	s.RegisterService(&echoDesc, grpcEcho{})
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ln) }()
	return &role.Part{Addr: ln.Addr().String(), Close: func(context.Context) error {
		s.Stop()
		return <-ended
	}}, nil
}

type grpcCaller struct{ conn *grpc.ClientConn }

func startGRPCClient(_ context.Context, s role.Spec) (*role.Part, error) {
	conn, err := grpc.NewClient(s.URL, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	return &role.Part{Caller: grpcCaller{conn}, Close: func(context.Context) error { return conn.Close() }}, nil
}

func (c grpcCaller) Call(ctx context.Context, body []byte) ([]byte, error) {
	out := new(wrapperspb.BytesValue)
	err := c.conn.Invoke(ctx, grpcMethod, &wrapperspb.BytesValue{Value: body}, out)
	return out.GetValue(), err
}
