package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	enrollv1 "github.com/warrenedge/warren/api/enroll/v1"
	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/enroll"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/recovery"
	"github.com/warrenedge/warren/controlplane/sharelinks"
	"github.com/warrenedge/warren/controlplane/store"
)

// pushPort is the listener for nodes and connectors: streams, reports, joining.
type pushPort struct {
	addr   string
	srv    *grpc.Server
	cert   atomic.Pointer[tls.Certificate]
	c      *admin.Cluster
	pusher *push.Server
	log    *slog.Logger

	strangers *rate.Limiter // calls without a certificate: each costs the database something
}

// What strangers may do to the database: calls a second, and at once.
const (
	strangerRate  = 20
	strangerBurst = 200
)

// The methods of the push port, and what a caller must be. A method that is not here is refused.
var methods = map[string]bool{ // needs a client certificate
	enrollv1.EnrollmentService_Join_FullMethodName:                               false,
	enrollv1.EnrollmentService_Renew_FullMethodName:                              true,
	enrollv1.EnrollmentService_Announce_FullMethodName:                           true,
	nodev1.AccessService_Redeem_FullMethodName:                                   true,
	nodev1.AccessService_Renew_FullMethodName:                                    true,
	nodev1.AccessService_SignOut_FullMethodName:                                  true,
	nodev1.PublicationService_Publish_FullMethodName:                             true,
	nodev1.ReportService_Report_FullMethodName:                                   true,
	nodev1.TrafficService_Tell_FullMethodName:                                    true,
	nodev1.ShareLinkService_Use_FullMethodName:                                   true,
	discovery.AggregatedDiscoveryService_DeltaAggregatedResources_FullMethodName: true,
}

func newPushPort(addr string, c *admin.Cluster, db *store.Store, pusher *push.Server, seen *presence.Store, world *model.Current, visits nodev1.AccessServiceServer, told nodev1.TrafficServiceServer, labels nodev1.PublicationServiceServer, log *slog.Logger, reg prometheus.Registerer) (*pushPort, error) {
	p := &pushPort{addr: addr, c: c, pusher: pusher, log: log, strangers: rate.NewLimiter(strangerRate, strangerBurst)}
	if err := p.renew(); err != nil {
		return nil, err
	}
	creds := newPushCredentials(&tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.cert.Load(), nil },
		ClientAuth:     tls.VerifyClientCertIfGiven, // who joins has none yet; allow decides by method
		ClientCAs:      c.Identity.Pool(),
	}, log)
	opts := append(push.GRPCOptions(), grpc.Creds(creds),
		grpc.ChainUnaryInterceptor(recovery.Unary(log), func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			if err := p.allow(ctx, info.FullMethod); err != nil {
				return nil, err
			}
			return handler(ctx, req)
		}),
		grpc.ChainStreamInterceptor(recovery.Stream(log), func(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			if err := p.allow(ss.Context(), info.FullMethod); err != nil {
				return err
			}
			return handler(srv, ss)
		}))
	p.srv = grpc.NewServer(opts...)
	discovery.RegisterAggregatedDiscoveryServiceServer(p.srv, pusher)
	nodev1.RegisterAccessServiceServer(p.srv, visits)
	nodev1.RegisterTrafficServiceServer(p.srv, told)
	nodev1.RegisterPublicationServiceServer(p.srv, labels)
	nodev1.RegisterReportServiceServer(p.srv, presence.NewReports(seen, pusher.Admit, rejectedOf(pusher)))
	enrollv1.RegisterEnrollmentServiceServer(p.srv, enroll.New(c.ID, db, c.Identity, pusher.Admit, log, reg))
	nodev1.RegisterShareLinkServiceServer(p.srv, sharelinks.New(db, pusher.Admit, log))
	return p, nil
}

// rejectedOf tells presence, and by it the other replicas, what push knows.
func rejectedOf(pusher *push.Server) func(presence.Key) ([]presence.Rejected, int) {
	return func(k presence.Key) ([]presence.Rejected, int) {
		list, omitted := pusher.Rejected(push.Reader{Kind: k.Kind, ID: k.ID}, presence.MaxRejected)
		var out []presence.Rejected
		for _, r := range list {
			out = append(out, presence.Rejected(r))
		}
		return out, omitted
	}
}

// pushCredentials is TLS that says which certificates it refused: gRPC drops a failed handshake without a word.
type pushCredentials struct {
	credentials.TransportCredentials
	log    *slog.Logger
	refuse *rate.Sometimes // what strangers can put into the log
}

func newPushCredentials(conf *tls.Config, log *slog.Logger) credentials.TransportCredentials {
	return &pushCredentials{credentials.NewTLS(conf), log, &rate.Sometimes{Interval: time.Second}}
}

// ServerHandshake implements credentials.TransportCredentials. Connections that come to nothing otherwise are
// a balancer's way of asking whether the port is open.
func (p *pushCredentials) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := p.TransportCredentials.ServerHandshake(raw)
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		p.refuse.Do(func() { p.log.Warn("certificate refused", "peer", raw.RemoteAddr().String(), "err", err) })
	}
	return conn, info, err
}

// Clone implements credentials.TransportCredentials.
func (p *pushCredentials) Clone() credentials.TransportCredentials {
	return &pushCredentials{p.TransportCredentials.Clone(), p.log, p.refuse}
}

// allow is deny by default: unknown methods, and known ones without the certificate that they need. Whether
// the owner of a certificate is still trusted is push.Admit's to say.
func (p *pushPort) allow(ctx context.Context, method string) error {
	needs, known := methods[method]
	if !known {
		return status.Error(codes.PermissionDenied, "no such method")
	}
	if !needs {
		if !p.strangers.Allow() {
			return status.Error(codes.Unavailable, "try again")
		}
		return nil
	}
	if caller, ok := peer.FromContext(ctx); ok {
		if t, ok := caller.AuthInfo.(credentials.TLSInfo); ok && len(t.State.VerifiedChains) > 0 {
			return nil
		}
	}
	return status.Error(codes.Unauthenticated, "needs a client certificate")
}

// renew makes a fresh certificate; its key lives in memory only.
func (p *pushPort) renew() error {
	cert, err := p.c.Identity.ServerCertificate(p.c.ID, time.Now())
	if err != nil {
		return err
	}
	p.cert.Store(&cert)
	return nil
}

// String names the task.
func (p *pushPort) String() string { return "push port" }

// Run serves until ctx ends. Streams are ended by push, in its own time; then the rest is cut.
func (p *pushPort) Run(ctx context.Context) error {
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(24 * time.Hour)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				stopped := make(chan struct{})
				go func() { p.srv.GracefulStop(); close(stopped) }()
				p.drained(stopped)
				p.srv.Stop()
				<-stopped
				return
			case <-tick.C:
				if err := p.renew(); err != nil {
					p.log.Error("own certificate not renewed", "err", err)
				}
			}
		}
	}()
	err = p.srv.Serve(l)
	if ctx.Err() != nil {
		<-done
		return nil
	}
	return err
}

// drainLimit is how long push may take to send everybody away.
const drainLimit = 8 * time.Second

// drained waits until push has sent the last reader away. Reports end with their reader's connection: they
// are no reason to stay.
func (p *pushPort) drained(stopped <-chan struct{}) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(drainLimit); len(p.pusher.Readers()) > 0; {
		select {
		case <-stopped:
			return
		case <-limit:
			return
		case <-tick.C:
		}
	}
}

// tellHealth tells nodes which of them are up, and which of their pool's targets can serve, at every change
// and each half second. It runs on replicas without streams as well: what they answer is decided here.
func tellHealth(ctx context.Context, world *model.Current, seen *presence.Store, pusher *push.Server) error {
	states := map[presence.Health]nodev1.NodeState{
		presence.Unknown: nodev1.NodeState_NODE_STATE_UNSPECIFIED,
		presence.Up:      nodev1.NodeState_NODE_STATE_UP,
		presence.Down:    nodev1.NodeState_NODE_STATE_DOWN,
	}
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		changed := seen.Changed()
		m := world.Get()
		if m.Revision() > 0 {
			var nodes []string
			for n := range m.Nodes() {
				if n.Enrolled() {
					nodes = append(nodes, n.ID.String())
				}
			}
			out := make(map[string]nodev1.NodeState, len(nodes))
			for id, h := range seen.Health(time.Now(), nodes) {
				out[id] = states[h]
			}
			pusher.SetNodeHealth(out)
			pusher.SetTargetHealth(targetHealth(seen.Targets(m)))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
	}
}

func targetHealth(list []presence.TargetNews) []push.TargetHealth {
	out := make([]push.TargetHealth, len(list))
	for i, n := range list {
		out[i] = push.TargetHealth{ID: n.ID, Pool: n.Pool, Healthy: n.State == presence.TargetHealthy, Gone: n.Gone}
	}
	return out
}
