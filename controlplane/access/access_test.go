package access

import (
	"strings"
	"testing"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

func TestCheck(t *testing.T) {
	own, other := model.OrgID{}.New(), model.OrgID{}.New()
	cluster := Principal{Key: model.APIKeyID{}.New(), Grants: Everything()}
	org := Principal{Key: model.APIKeyID{}.New(), Grants: Unscoped(own)}
	viewer := Principal{Session: model.SessionID{}.New(), Grants: Collect([]model.Grant{{Org: own, Role: model.RoleViewer}})}
	empty := Principal{Session: model.SessionID{}.New(), Grants: Collect([]model.Grant{{Org: own, Role: model.RoleID{}.New()}})}
	for _, tc := range []struct {
		name string
		err  error
		want fault.Kind
		ok   bool
	}{
		{"nobody", Principal{}.Check(PoolsRead), fault.Denied, false},
		{"nobody in an organization", Principal{}.CheckOrg(own), fault.NotFound, false},
		{"nobody with grants", Principal{Grants: Everything()}.CheckOrg(own), fault.NotFound, false},
		{"cluster admin", cluster.Check(NodesRevoke), 0, true},
		{"cluster in any organization", cluster.CheckOrg(other), 0, true},
		{"no organization", cluster.CheckOrg(model.OrgID{}), fault.NotFound, false},
		{"organization reads pools", org.Check(PoolsRead), 0, true},
		{"organization administers", org.Check(NodesRead), fault.Denied, false},
		{"organization writes its own", org.CheckOrg(own), 0, true},
		{"organization and another", org.CheckOrg(other), fault.NotFound, false},
		{"unknown permission", org.Check("everything"), fault.Denied, false},
		{"cluster and unknown permission", cluster.Check("everything"), fault.Denied, false},
		{"viewer", viewer.Check(SitesWrite), fault.Denied, false},
		{"a role that permits nothing shows the organization", empty.CheckOrg(own), 0, true},
		{"and nothing in it", empty.Check(SitesRead), fault.Denied, false},
	} {
		if tc.ok != (tc.err == nil) || !tc.ok && fault.Of(tc.err) != tc.want {
			t.Errorf("%s: %v", tc.name, tc.err)
		}
	}
	for _, tc := range []struct {
		name string
		p    Principal
		need Permission
		org  model.OrgID
		want bool
	}{
		{"nobody", Principal{Grants: Everything()}, PoolsRead, model.OrgID{}, false},
		{"unknown", cluster, "everything", own, false},
		{"everybody", viewer, PoolsRead, model.OrgID{}, true},
		{"cluster in an organization", cluster, SecurityManage, own, true},
		{"cluster in the cluster", cluster, SitesRead, model.OrgID{}, true},
		{"viewer reads", viewer, SitesRead, own, true},
		{"viewer writes", viewer, SitesWrite, own, false},
		{"viewer elsewhere", viewer, SitesRead, other, false},
		{"viewer in the cluster", viewer, SitesRead, model.OrgID{}, false},
		{"a key of old configures", org, ServicesWrite, own, true},
		{"a key of old manages no people", org, MembersManage, own, false},
		{"a key of old makes no keys", org, KeysManage, own, false},
	} {
		if got := tc.p.Can(tc.need, tc.org); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}

// What can be given in an organization is never more than what the caller has there, wherever it comes from.
func TestGrants(t *testing.T) {
	own, other := model.OrgID{}.New(), model.OrgID{}.New()
	custom := model.Grant{Org: own, Role: model.RoleID{}.New(), Permissions: []string{"sites:read", "nodes:revoke", "of:tomorrow", "pools:read"}}
	if got := Collect([]model.Grant{custom}).Orgs[own].Names(); strings.Join(got, " ") != "sites:read" {
		t.Errorf("a role of an organization permits %v", got)
	}
	admin := Collect([]model.Grant{{Org: own, Role: model.RoleAdmin}, {Org: other, Role: model.RoleViewer}})
	for _, tc := range []struct {
		name  string
		g     Grants
		need  Permission
		org   model.OrgID
		want  bool
		other bool
	}{
		{"all of it", admin.Narrow(model.OrgID{}, nil), KeysManage, own, true, true},
		{"in one organization", admin.Narrow(own, nil), KeysManage, own, true, false},
		{"some", admin.Narrow(model.OrgID{}, []string{"keys:manage", "sites:read"}), KeysManage, own, true, true},
		{"less", admin.Narrow(model.OrgID{}, []string{"sites:read"}), KeysManage, own, false, true},
		{"nothing", admin.Narrow(model.OrgID{}, []string{}), KeysManage, own, false, false},
		{"more than there is", admin.Narrow(own, []string{"security:manage"}), SecurityManage, own, false, false},
		{"of the cluster, in one organization", Everything().Narrow(own, nil), SecurityManage, own, true, false},
		{"an organization of somebody else", Collect([]model.Grant{{Org: other, Role: model.RoleOwner}}).Narrow(own, nil), SitesRead, own, false, false},
	} {
		p := Principal{Key: model.APIKeyID{}.New(), Grants: tc.g}
		if p.Can(tc.need, tc.org) != tc.want || p.Can(SitesRead, other) != tc.other {
			t.Errorf("%s: %v %v", tc.name, p.Can(tc.need, tc.org), p.Can(SitesRead, other))
		}
		if p.Can(NodesRead, model.OrgID{}) {
			t.Errorf("%s: reads nodes", tc.name)
		}
	}
	if (Principal{Key: model.APIKeyID{}.New(), Grants: Collect([]model.Grant{{Org: other, Role: model.RoleOwner}}).Narrow(own, nil)}).CheckOrg(own) == nil {
		t.Error("a key narrowed to an organization of which its owner is no member sees it")
	}
}

func TestGive(t *testing.T) {
	own := model.OrgID{}.New()
	admin := Principal{Session: model.SessionID{}.New(), Grants: Collect([]model.Grant{{Org: own, Role: model.RoleAdmin}})}
	for role, ok := range map[model.RoleID]bool{
		model.RoleViewer: true, model.RoleMember: true, model.RoleAdmin: true, model.RoleOwner: false, model.RoleClusterViewer: false, model.RoleClusterAdmin: false,
	} {
		if err := admin.CheckGive(Of(&model.Role{ID: role}), own); (err == nil) != ok {
			t.Errorf("%s: %v", role, err)
		}
		if err := admin.CheckGive(Of(&model.Role{ID: role}), model.OrgID{}); err == nil {
			t.Errorf("%s in the cluster: given", role)
		}
	}
	if err := (Principal{Grants: Everything()}).CheckGive(Set{}, own); err == nil {
		t.Error("nobody gives")
	}
}

// The built-in roles grow from one to the next, and each permission has a name of the one form.
func TestBuiltin(t *testing.T) {
	order := []model.RoleID{model.RoleViewer, model.RoleMember, model.RoleAdmin, model.RoleOwner, model.RoleClusterAdmin}
	for i := 1; i < len(order); i++ {
		less, more := builtin[order[i-1]], builtin[order[i]]
		for p := range less {
			if !more.Has(p) {
				t.Errorf("%s is lost on the way up", p)
			}
		}
		if len(less) >= len(more) {
			t.Errorf("role %d permits no more than the one below it", i)
		}
	}
	for p := range builtin[model.RoleClusterViewer] {
		if !strings.HasSuffix(string(p), ":read") {
			t.Errorf("a viewer of the cluster has %s", p)
		}
	}
	for p := range levels {
		what, verb, ok := strings.Cut(string(p), ":")
		if !ok || what == "" || verb == "" || strings.ToLower(string(p)) != string(p) {
			t.Errorf("%q", p)
		}
	}
	if len(Permissions(false)) < 30 || len(Permissions(true)) <= len(Permissions(false)) {
		t.Errorf("%d in an organization, %d in the cluster", len(Permissions(false)), len(Permissions(true)))
	}
}
