package gate_test

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/warrenedge/warren/dataplane/session"
	"github.com/warrenedge/warren/shared/accesstoken"
)

// gRPC through a policy, by the clients and servers that people use: without a token a call is UNAUTHENTICATED and comes to
// nobody, with one it does, its caller's name beside it and the token not, and a stream ends when the session does.
func TestGRPCOfAUser(t *testing.T) {
	n := newNode(t, members(), hello)
	var mu sync.Mutex
	var told []metadata.MD // guarded by mu
	note := func(ctx context.Context) {
		md, _ := metadata.FromIncomingContext(ctx)
		mu.Lock()
		defer mu.Unlock()
		told = append(told, md)
	}
	srv := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
		note(ctx)
		return h(ctx, req)
	}), grpc.StreamInterceptor(func(s any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
		note(ss.Context())
		return h(s, ss)
	}))
	grpc_health_v1.RegisterHealthServer(srv, health.NewServer())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() { srv.Stop(); wg.Wait() })
	n.to = l.Addr().String()

	conn, err := grpc.NewClient("passthrough:///"+host, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true, ServerName: host})),
		grpc.WithAuthority(host), grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", n.addr)
		}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := grpc_health_v1.NewHealthClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
	if len(told) > 0 {
		t.Fatalf("it came to the target: %v", told)
	}

	secret := strings.Repeat("s", 43)
	claims := &accesstoken.Claims{Issuer: cluster, Audience: host, Subject: "user_1", Session: "session_1", Org: org, Email: "alice@example.org", Binding: accesstoken.Binding(secret), Use: accesstoken.UseProgram}
	claims.Issue(time.Now())
	token, err := accesstoken.Sign(n.plane.key, "k", claims)
	if err != nil {
		t.Fatal(err)
	}
	as := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+accesstoken.Join(token, secret))
	if got, err := client.Check(as, &grpc_health_v1.HealthCheckRequest{}); err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("with one: %v, %v", got, err)
	}
	watch, err := client.Watch(as, &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("a stream: %v, %v", got, err)
	}
	mu.Lock()
	if len(told) != 2 {
		t.Errorf("the target was called %d times", len(told))
	}
	for _, md := range told {
		if !slices.Equal(md.Get("remote-user"), []string{"alice@example.org"}) || len(md.Get("authorization")) > 0 {
			t.Errorf("the target was told %v", md)
		}
	}
	mu.Unlock()
	n.sessions.Apply(session.Config{Keys: n.sessions.Keys(), Revoked: []session.Revoked{{Session: "session_1"}}})
	n.gate.Apply(*n.config())
	if got, err := watch.Recv(); err == nil || ctx.Err() != nil {
		t.Errorf("the stream goes on: %v, %v", got, err)
	}
	if _, err := client.Check(as, &grpc_health_v1.HealthCheckRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a new call: %v", err)
	}
}
