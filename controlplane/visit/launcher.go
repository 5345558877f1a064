package visit

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/policy"
)

// App is a service that somebody can open.
type App struct {
	Organization string // what people know it by
	Name         string
	URL          string
	Open         bool // to everybody
}

// Apps lists what a user can open in a browser, of the organizations that he is a member of: services that everybody may
// visit, and those whose policy lets him in when he has signed in. What else a policy asks, such as where he comes from, is
// found out when he goes there. A service of many names has none to go to, and is not among them.
func (s *Server) Apps(ctx context.Context, user model.UserID) (out []App, err error) {
	m := s.World.Get()
	err = s.Store.View(ctx, func(tx *store.Tx) error {
		out = nil
		u, err := tx.GetUser(ctx, user)
		if err != nil {
			return err
		}
		all, err := tx.ListMembershipsOfUser(ctx, user)
		if err != nil {
			return err
		}
		for _, in := range all {
			who, err := member(ctx, tx, u, in)
			if err != nil {
				return err
			}
			out = append(out, appsOf(m, in.Org, who)...)
		}
		return nil
	})
	slices.SortFunc(out, func(a, b App) int {
		return cmp.Or(strings.Compare(a.Organization, b.Organization), strings.Compare(a.Name, b.Name), strings.Compare(a.URL, b.URL))
	})
	return out, err
}

func appsOf(m *model.Model, org model.OrgID, who *policy.User) (out []App) {
	o := m.Organization(org)
	if o == nil {
		return nil // somebody has just made it
	}
	admits := map[model.PolicyID]bool{} // services share policies
	for s := range m.ServicesBy(org) {
		if s.Kind != model.HTTP || strings.HasPrefix(s.Hostname, "*.") {
			continue
		}
		if !s.Policy.IsZero() {
			may, known := admits[s.Policy]
			if !known {
				c, err := policyOf(m, s)
				may = err == nil && c.Admits(who)
				admits[s.Policy] = may
			}
			if !may {
				continue
			}
		}
		out = append(out, App{Organization: cmp.Or(o.Brand.Name, o.Name), Name: s.Name, URL: "https://" + m.HostPort(s) + "/", Open: s.Policy.IsZero()})
	}
	return out
}
