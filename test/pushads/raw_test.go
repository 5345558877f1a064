package pushads

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"

	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/dataplane/ads"
	"github.com/warrenedge/warren/shared/identity"
	"github.com/warrenedge/warren/shared/resource"
)

// raw is a client that does only what a test says.
type raw struct {
	t      testing.TB
	id     string
	stream grpc.BidiStreamingClient[discovery.DeltaDiscoveryRequest, discovery.DeltaDiscoveryResponse]
}

func dial(t testing.TB, r *replica, as push.Reader) *raw {
	t.Helper()
	return dialAs(t, r, identity.Identity{Cluster: cluster, Kind: as.Kind, ID: as.ID})
}

func dialAs(t testing.TB, r *replica, as identity.Identity) *raw {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+r.addr, grpc.WithTransportCredentials(credentials.NewTLS(clientTLSOf(t, as))))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(func() { cancel(); _ = conn.Close() })
	s, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return &raw{t, as.ID, s}
}

// send ignores errors: recv has the reason.
func (c *raw) send(req *discovery.DeltaDiscoveryRequest) { _ = c.stream.Send(req) }

func (c *raw) subscribe(types ...string) {
	for _, t := range types {
		c.send(&discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: c.id}, TypeUrl: t, ResourceNamesSubscribe: []string{"*"}})
	}
}

func (c *raw) recv() *discovery.DeltaDiscoveryResponse {
	c.t.Helper()
	resp, err := c.stream.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func (c *raw) ack(resp *discovery.DeltaDiscoveryResponse) {
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce()})
}

// until acknowledges everything up to and with the next response of a type, and returns that.
func (c *raw) until(typeURL string) *discovery.DeltaDiscoveryResponse {
	c.t.Helper()
	for {
		resp := c.recv()
		c.ack(resp)
		if resp.GetTypeUrl() == typeURL {
			return resp
		}
	}
}

// end reads to the end of the stream and returns its status.
func (c *raw) end() codes.Code {
	for {
		if _, err := c.stream.Recv(); err != nil {
			return status.Code(err)
		}
	}
}

func checkpoint(t testing.TB, resp *discovery.DeltaDiscoveryResponse) *nodev1.Checkpoint {
	t.Helper()
	cp := new(nodev1.Checkpoint)
	if err := proto.Unmarshal(resp.GetResources()[0].GetResource().GetValue(), cp); err != nil {
		t.Fatal(err)
	}
	return cp
}

func token(t testing.TB, cp *nodev1.Checkpoint) map[string]string {
	t.Helper()
	b, err := proto.Marshal(cp)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{resource.TokenKey: base64.RawURLEncoding.EncodeToString(b)}
}

func refusal(code codes.Code) *rpcstatus.Status {
	return &rpcstatus.Status{Code: int32(code), Message: "no"}
}

// rejection is the answer to a checkpoint of which one resource was bad.
func rejection(t testing.TB, r *snapshot.Resource) *rpcstatus.Status {
	t.Helper()
	details, err := anypb.New(&nodev1.Rejections{Rejections: []*nodev1.Rejection{{TypeUrl: r.TypeURL, Name: r.Name, Version: r.Version, Reason: "bad"}}})
	if err != nil {
		t.Fatal(err)
	}
	return &rpcstatus.Status{Code: int32(codes.InvalidArgument), Message: "one", Details: []*anypb.Any{details}}
}

func failTimes(n *int) func(ads.Transaction) error {
	return func(ads.Transaction) error {
		if *n == 0 {
			return nil
		}
		*n--
		return errors.New("disk full")
	}
}
