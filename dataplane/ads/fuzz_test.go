package ads

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/shared/resource"
)

func responses(f *testing.F) {
	add := func(m *discovery.DeltaDiscoveryResponse) {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b)
	}
	add(&discovery.DeltaDiscoveryResponse{})
	add(&discovery.DeltaDiscoveryResponse{
		TypeUrl: resource.Route, RemovedResources: []string{"a", ""},
		Resources: []*discovery.Resource{{Name: "a", Version: "1", Resource: &anypb.Any{TypeUrl: resource.Route}}, {Name: "b", Version: "2"}},
	})
	cp, err := anypb.New(&nodev1.Checkpoint{Revision: 3, Types: []*nodev1.TypeDigest{{TypeUrl: resource.Route, Count: 1, Digest: make([]byte, 16)}, {}}, ResetTypes: []string{resource.Route, "x"}})
	if err != nil {
		f.Fatal(err)
	}
	add(&discovery.DeltaDiscoveryResponse{TypeUrl: resource.Checkpoint, Resources: []*discovery.Resource{{Name: resource.CheckpointName, Version: "1", Resource: cp}}})
}

// FuzzResponses: whatever a replica sends, nothing panics, and what is verified is what is held afterwards.
func FuzzResponses(f *testing.F) {
	responses(f)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		r := newReceived(resource.NodeTypes())
		for _, raw := range [][]byte{first, second} {
			resp := &discovery.DeltaDiscoveryResponse{}
			if proto.Unmarshal(raw, resp) != nil {
				return
			}
			if resp.GetTypeUrl() != resource.Checkpoint {
				if r.stage(resp) != nil {
					return
				}
				continue
			}
			cp, err := decode(resp)
			if err != nil {
				return
			}
			reset := map[string]bool{}
			for _, typ := range cp.GetResetTypes() {
				reset[typ] = true
			}
			if r.verify(cp, reset) != nil {
				r.forget()
				return
			}
			r.transaction(cp, reset)
			r.commit(cp, reset)
			if _, ok := r.resume(); !ok {
				t.Error("no token after a checkpoint")
			}
			if err := r.verify(&nodev1.Checkpoint{Types: cp.GetTypes()}, nil); err != nil {
				t.Errorf("what was committed does not verify: %v", err)
			}
		}
	})
}
