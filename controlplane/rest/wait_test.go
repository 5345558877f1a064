package rest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/danielgtaylor/huma/v2"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	grpcpeer "google.golang.org/grpc/peer"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/shared/bubbletest"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/identity/identitytest"
)

// mute is the stream of resources to a reader behind a cable that is cut: nothing comes, and nobody notices.
type mute struct {
	grpc.ServerStream
	ctx context.Context
}

func (m mute) Context() context.Context                   { return m.ctx }
func (mute) Send(*discovery.DeltaDiscoveryResponse) error { return nil }
func (m mute) Recv() (*discovery.DeltaDiscoveryRequest, error) {
	<-m.ctx.Done()
	return nil, m.ctx.Err()
}

// openMute opens the stream of a node, for as long as the test takes or until the node opens another one.
func openMute(t *testing.T, ca *identitytest.Authority, p *push.Server, node string) {
	leaf := ca.Certificate(t, identitytest.Cluster, identity.Node, node, time.Now().Add(time.Hour)).Leaf
	ctx, cut := context.WithCancel(grpcpeer.NewContext(context.Background(), &grpcpeer.Peer{
		Addr:     &net.TCPAddr{},
		AuthInfo: credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}, VerifiedChains: [][]*x509.Certificate{{leaf}}}},
	}))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.DeltaAggregatedResources(mute{ctx: ctx})
	}()
	synctest.Wait()
	if _, since := p.Applied(push.Reader{Kind: identity.Node, ID: node}); !since.Equal(time.Now()) {
		t.Fatalf("the stream of %s is open since %v", node, since)
	}
	t.Cleanup(func() { cut(); <-ended })
}

// A node whose cable is cut keeps its stream until gRPC's keepalive ends it. Who waits for a revision is told that it is
// offline as soon as presence holds it dead, and not before: a node may be on its way to another replica, and one that
// has just come may not have reported yet.
func TestNobodyWaitsForWhomPresenceHoldsDead(t *testing.T) {
	bubbletest.Run(t, func(t *testing.T) {
		id := func(name string) model.NodeID { return model.NodeID{UUID: modeltest.UUID("node", name)} }
		batch := modeltest.NewBatch(0)
		for _, name := range []string{"cut", "well"} {
			batch.Nodes[id(name)] = &model.Node{ID: id(name), Name: name, Lifecycle: model.Active, WireGuardKey: modeltest.Key(id(name).UUID)}
		}
		m := model.Empty().Apply(batch)
		world := model.NewCurrent()
		world.Set(m)
		log := slog.New(slog.DiscardHandler)
		pusher := push.New(push.Options{Cluster: identitytest.Cluster, Log: log, Reg: prometheus.NewRegistry()})
		pusher.Publish(snapshot.New(modeltest.Open).Build(nil, m, batch), m)
		seen := presence.New("r1", presence.Memory{}, log, prometheus.NewRegistry())
		a := &API{Options: Options{World: world, Push: pusher, Presence: seen}}
		ca := identitytest.New(t)

		well := presence.Entry{Key: presence.Key{Kind: identity.Node, ID: id("well").String()}, Since: time.Now(), Applied: m.Revision()}
		seen.Report(t.Context(), well)
		openMute(t, ca, pusher, well.ID)
		cut := presence.Entry{Key: presence.Key{Kind: identity.Node, ID: id("cut").String()}, Since: time.Now()}
		seen.Report(t.Context(), cut)
		openMute(t, ca, pusher, cut.ID)
		begin := time.Now()
		time.AfterFunc(presence.Silence, func() { seen.Gone(context.Background(), cut.Key, cut.Since) }) // as presence.Reports does

		operator := context.WithValue(t.Context(), principalKey{}, access.Principal{Connector: model.ConnectorID{UUID: modeltest.UUID("connector", "who asks")}, Grants: access.Grants{Cluster: access.Set{access.NodesRead: {}}}})
		wait := func(timeout string) (*waitAnswer, error) {
			return a.wait(operator, &waitInput{Revision: uint64(m.Revision()), Timeout: timeout})
		}
		var late huma.StatusError
		if _, err := wait("7s"); !errors.As(err, &late) || late.GetStatus() != 504 || !strings.HasSuffix(err.Error(), "node cut") {
			t.Errorf("a node that has been silent for 7 s: %v", err)
		}
		out, err := wait("25s")
		if err != nil {
			t.Fatalf("after %v: %v", time.Since(begin), err)
		}
		if at := time.Since(begin); at < presence.Silence+presence.Grace || at > presence.Silence+presence.Grace+time.Second {
			t.Errorf("waited for %v", at)
		}
		if !slices.Equal(names(out.Body.Offline), []string{"cut"}) || !slices.Equal(names(out.Body.Applied), []string{"well"}) {
			t.Errorf("%+v", out.Body)
		}
		if e := a.fleet(reader{"node", cut.ID, "cut"}); e.Status != "offline" {
			t.Errorf("the fleet's list says %s", e.Status)
		}
		// It is back, and has said nothing yet.
		openMute(t, ca, pusher, cut.ID)
		if _, err := wait("1s"); !errors.As(err, &late) || late.GetStatus() != 504 {
			t.Errorf("a node that has just come back is not waited for: %v", err)
		}
	})
}
