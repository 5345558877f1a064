package ads

import (
	"testing"

	"google.golang.org/protobuf/types/known/anypb"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/shared/resource"
)

// A resource whose content is of another type is rejected at each checkpoint, until something else comes in
// its place.
func TestUnreadableResourceStaysRejected(t *testing.T) {
	r := newReceived(resource.NodeTypes())
	step := func(resources []*discovery.Resource, removed []string, reset map[string]bool) []*nodev1.Rejection {
		t.Helper()
		if err := r.stage(&discovery.DeltaDiscoveryResponse{TypeUrl: resource.Zone, Resources: resources, RemovedResources: removed}); err != nil {
			t.Fatal(err)
		}
		_, bad := r.transaction(&nodev1.Checkpoint{}, reset)
		r.commit(&nodev1.Checkpoint{}, reset)
		return bad
	}
	of := func(name, version, typ string) []*discovery.Resource {
		return []*discovery.Resource{{Name: name, Version: version, Resource: &anypb.Any{TypeUrl: typ}}}
	}
	reset := map[string]bool{resource.Zone: true}
	for _, repair := range []struct {
		name      string
		resources []*discovery.Resource
		removed   []string
		reset     map[string]bool
	}{
		{"replaced", of("zone/o/1", "v2", resource.Zone), nil, nil},
		{"removed", nil, []string{"zone/o/1"}, nil},
		{"not among all", of("zone/o/2", "v1", resource.Zone), nil, reset},
	} {
		for _, resources := range [][]*discovery.Resource{of("zone/o/1", "v1", resource.Route), of("zone/o/2", "v1", resource.Zone)} {
			bad := step(resources, nil, nil)
			if len(bad) != 1 || bad[0].GetName() != "zone/o/1" || bad[0].GetVersion() != "v1" || bad[0].GetReason() == "" {
				t.Errorf("before it is %s: rejected %v", repair.name, bad)
			}
		}
		if bad := step(repair.resources, repair.removed, repair.reset); len(bad) != 0 {
			t.Errorf("%s, and rejected still: %v", repair.name, bad)
		}
		if bad := step(nil, nil, nil); len(bad) != 0 {
			t.Errorf("%s, and rejected again: %v", repair.name, bad)
		}
	}
}
