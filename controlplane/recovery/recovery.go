// Package recovery keeps a panic of one call from ending the replica that answers it.
package recovery

import (
	"context"
	"log/slog"
	"net/http"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// HTTP is deferred by a handler: it logs a panic with its stack, and answers. http.ErrAbortHandler goes on: it is how an
// answer ends that stops in the middle, so that whoever reads does not take a part for the whole.
func HTTP(log *slog.Logger, r *http.Request, answer func()) {
	switch v := recover(); v {
	case nil:
	case http.ErrAbortHandler:
		panic(v)
	default:
		log.Error("call panicked", "path", r.URL.Path, "err", v, "stack", string(debug.Stack()))
		answer()
	}
}

// Unary answers a call that panics with codes.Internal.
func Unary(log *slog.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
		defer rpc(log, info.FullMethod, &err)
		return handler(ctx, req)
	}
}

// Stream ends a stream that panics with codes.Internal.
func Stream(log *slog.Logger) grpc.StreamServerInterceptor {
	return func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
		defer rpc(log, info.FullMethod, &err)
		return handler(srv, ss)
	}
}

func rpc(log *slog.Logger, method string, err *error) {
	if v := recover(); v != nil {
		log.Error("call panicked", "method", method, "err", v, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "internal error")
	}
}
