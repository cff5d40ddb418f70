package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	pb "twc/customer/v2"
)

// newServer returns a gRPC server that authenticates and records every call by interceptors,
// as is usual with grpc-go.
func newServer(api *service, a *authenticator) *grpc.Server {
	native := &interceptors{a, newTelemetry()}
	server := grpc.NewServer(grpc.UnaryInterceptor(native.unary), grpc.StreamInterceptor(native.stream))
	pb.RegisterCustomerServiceServer(server, api)
	return server
}

type interceptors struct {
	authenticator *authenticator
	telemetry     *telemetry
}

func (n *interceptors) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (response any, err error) {
	err = n.around(ctx, info.FullMethod, func(ctx context.Context) (err error) {
		response, err = next(ctx, request)
		return err
	})
	return response, err
}

func (n *interceptors) stream(api any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	return n.around(stream.Context(), info.FullMethod, func(ctx context.Context) error {
		return next(api, &authenticatedStream{stream, ctx})
	})
}

// around calls a handler with the context of an authenticated caller, and records the call.
func (n *interceptors) around(ctx context.Context, method string, handle func(context.Context) error) error {
	began := time.Now()
	headers, _ := metadata.FromIncomingContext(ctx)
	tenant, err := n.authenticator.authenticate(headers.Get("authorization"), headers.Get("x-twc-tenant"))
	if err == nil {
		err = handle(withTenant(ctx, tenant))
	}
	n.telemetry.record(began, call{first(headers.Get("x-request-id")), tenant, "gRPC", method, int(status.Code(err))})
	return err
}

type authenticatedStream struct {
	grpc.ServerStream
	context context.Context
}

func (s *authenticatedStream) Context() context.Context { return s.context }

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
