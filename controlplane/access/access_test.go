package access

import (
	"testing"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

func TestCheck(t *testing.T) {
	own, other := model.OrgID{}.New(), model.OrgID{}.New()
	cluster := Principal{Key: model.APIKeyID{}.New()}
	org := Principal{Key: model.APIKeyID{}.New(), Org: own}
	for _, tc := range []struct {
		name string
		err  error
		want fault.Kind
		ok   bool
	}{
		{"nobody", Principal{}.Check(ClusterRead), fault.Denied, false},
		{"nobody in an organization", Principal{}.CheckOrg(own), fault.NotFound, false},
		{"cluster admin", cluster.Check(ClusterAdmin), 0, true},
		{"cluster in any organization", cluster.CheckOrg(other), 0, true},
		{"organization reads pools", org.Check(ClusterRead), 0, true},
		{"organization administers", org.Check(ClusterAdmin), fault.Denied, false},
		{"organization writes its own", org.CheckOrg(own), 0, true},
		{"organization and another", org.CheckOrg(other), fault.NotFound, false},
		{"unknown permission", org.Check("everything"), fault.Denied, false},
	} {
		if tc.ok != (tc.err == nil) || !tc.ok && fault.Of(tc.err) != tc.want {
			t.Errorf("%s: %v", tc.name, tc.err)
		}
	}
}
