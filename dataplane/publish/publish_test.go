package publish

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/testing/protocmp"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/docker"
	"github.com/warrenedge/warren/shared/bubbletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// control is a control plane in memory.
type control struct {
	nodev1.UnimplementedPublicationServiceServer
	mu       sync.Mutex
	said     []*nodev1.PublishRequest
	err      error
	problems []*nodev1.PublishProblem
}

func (c *control) Publish(_ context.Context, r *nodev1.PublishRequest) (*nodev1.PublishResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, r)
	return &nodev1.PublishResponse{Problems: c.problems}, c.err
}

func (c *control) is(err error, problems ...*nodev1.PublishProblem) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err, c.problems = err, problems
}

func (c *control) calls() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.said)
}

type conns struct{ *grpc.ClientConn }

func (c conns) Conn(context.Context) (*grpc.ClientConn, error) { return c.ClientConn, nil }

// within runs a test of a Publisher and its control plane in a bubble.
func within(t *testing.T, test func(t *testing.T, c *control, p *Publisher, log *bytes.Buffer)) {
	bubbletest.Run(t, func(t *testing.T) {
		c, l := &control{}, bufconn.Listen(1<<16)
		srv := grpc.NewServer()
		nodev1.RegisterPublicationServiceServer(srv, c)
		done := make(chan struct{})
		go func() { defer close(done); _ = srv.Serve(l) }()
		conn, err := grpc.NewClient("passthrough:///control", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		test(t, c, New(conns{conn}, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry()), &log)
		_ = conn.Close()
		srv.Stop()
		<-done
		synctest.Wait()
	})
}

func running(t *testing.T, p *Publisher, during func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	during()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestTellsUntilItIsTaken(t *testing.T) {
	within(t, func(t *testing.T, c *control, p *Publisher, log *bytes.Buffer) {
		running(t, p, func() {
			c.is(status.Error(codes.Unavailable, "try again"))
			p.Set(docker.Publication{Engine: "e", Services: []docker.Service{{Name: "old", Kind: "http"}}})
			after(time.Minute)
			if n := c.calls(); n < 3 || n > 60 {
				t.Errorf("%d attempts in a minute", n)
			}
			p.Set(docker.Publication{Engine: "e", Services: []docker.Service{{Name: "shop", Kind: "http", Targets: []docker.Target{{Container: "c", Address: "a", Port: 80, HealthCheck: &docker.HealthCheck{Kind: "tcp"}}}}}})
			c.is(nil)
			after(time.Minute)
			n := c.calls()
			want := &nodev1.PublishRequest{Engine: "e", Services: []*nodev1.PublishedService{{Name: "shop", Kind: "http", Targets: []*nodev1.PublishedTarget{{Container: "c", Address: "a", Port: 80, HealthCheck: &nodev1.PublishedCheck{Kind: "tcp"}}}}}}
			if diff := cmp.Diff(want, c.said[n-1], protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
			if after(calm - 2*time.Minute); c.calls() != n {
				t.Errorf("%d calls although all is well", c.calls()-n)
			}
			if after(2 * time.Minute); c.calls() != n+1 {
				t.Errorf("%d calls after the time in which all is said again", c.calls()-n)
			}
		})
		if strings.Count(log.String(), "not told: try again") != 1 || !strings.Contains(log.String(), "all labels followed") {
			t.Errorf("log:\n%s", log)
		}
	})
}

func TestProblemsAreLoggedOnceAndAskedAboutAgain(t *testing.T) {
	within(t, func(t *testing.T, c *control, p *Publisher, log *bytes.Buffer) {
		running(t, p, func() {
			c.is(nil, &nodev1.PublishProblem{Service: "shop", Container: "web-1", Message: "made by hand"})
			p.Set(docker.Publication{Engine: "e"})
			if after(5*troubled + time.Second); c.calls() != 6 {
				t.Errorf("%d calls in five minutes, want 6", c.calls())
			}
			c.is(nil)
			if after(2 * calm); c.calls() > 9 {
				t.Errorf("%d calls", c.calls())
			}
		})
		if n := strings.Count(log.String(), "service shop: container web-1: made by hand"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, log)
		}
	})
}

func TestWithdraw(t *testing.T) {
	for name, end := range map[string]error{"taken": nil, "not known there": status.Error(codes.Unimplemented, ""), "no such method": status.Error(codes.PermissionDenied, "")} {
		t.Run(name, func(t *testing.T) {
			within(t, func(t *testing.T, c *control, p *Publisher, _ *bytes.Buffer) {
				c.is(status.Error(codes.Unavailable, "try again"))
				done := make(chan error, 1)
				go func() { done <- p.Withdraw(t.Context()) }()
				after(10 * time.Second)
				if n := c.calls(); n < 2 || !c.said[n-1].GetWithdrawn() {
					t.Errorf("%d calls", n)
				}
				c.is(end)
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
