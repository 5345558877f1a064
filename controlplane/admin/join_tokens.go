package admin

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/jointoken"
)

// JoinTokenLife is how long a join token is good.
const JoinTokenLife = 10 * time.Minute

// JoinToken is a right to join. Its text is shown once, when it is made.
type JoinToken struct {
	ID        string     `json:"id"`
	Kind      string     `json:"kind" enum:"node,connector"`
	Subject   string     `json:"subject" doc:"Name of the node or connector"`
	ExpiresAt time.Time  `json:"expires_at"`
	UsedAt    *time.Time `json:"used_at,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	Token     string     `json:"token,omitempty" doc:"The token itself; shown once, when it is made"`
	Control   []string   `json:"control,omitempty" doc:"With the token: host:port where the program reaches the control plane; absent where its settings don't say"`
}

func joinTokens(a *Admin) *Collection[model.JoinToken, struct{}, JoinToken] {
	return &Collection[model.JoinToken, struct{}, JoinToken]{
		a: a, kind: "join token", read: access.JoinTokensRead, write: access.JoinTokensDelete,
		byRef: func(c *call, ref string) (*model.JoinToken, error) {
			id, err := model.JoinTokenID{}.Parse(ref)
			if err != nil {
				return nil, notHere("join token")
			}
			return c.tx.GetJoinToken(c, id)
		},
		list:  func(c *call, p store.Page) ([]*model.JoinToken, error) { return c.tx.ListJoinTokens(c, p) },
		after: func(v *model.JoinToken) string { return v.ID.UUID.String() },
		drop:  func(c *call, v *model.JoinToken) error { return c.tx.DeleteJoinToken(c, v.ID) },
		view:  func(_ *call, v *model.JoinToken) (JoinToken, error) { return viewToken(v), nil },
	}
}

func viewToken(v *model.JoinToken) JoinToken {
	out := JoinToken{ID: v.ID.String(), Kind: "node", Subject: v.Name, ExpiresAt: v.Expires.UTC(), UsedAt: when(v.Used), CreatedAt: v.Created.UTC()}
	if v.Node.IsZero() {
		out.Kind = "connector"
	}
	return out
}

// JoinTokenSpec says for whom a token is: a node, or a connector of an organization.
type JoinTokenSpec struct {
	Node         string `json:"node,omitempty" doc:"Node, by name or id"`
	Organization string `json:"organization,omitempty" doc:"Organization of the connector, by name or id"`
	Connector    string `json:"connector,omitempty" doc:"Connector, by name or id"`
}

// CreateJoinToken makes a token; those of the same subject that were not used are void then. An
// organization's key makes them for its connectors.
func (a *Admin) CreateJoinToken(ctx context.Context, p access.Principal, s JoinTokenSpec) (out JoinToken, err error) {
	_, err = a.write(ctx, p, action("join token", "create"), func(c *call) error {
		v := &model.JoinToken{ID: model.JoinTokenID{}.New()}
		if err := c.subject(v, s); err != nil {
			return err
		}
		t := jointoken.New(a.fingerprint)
		v.Hash, v.Expires = t.Hash(), time.Now().Add(JoinTokenLife).UTC().Truncate(time.Microsecond)
		if err := c.tx.VoidJoinTokens(c, v.Node, v.Connector); err != nil {
			return err
		}
		if err := c.tx.CreateJoinToken(c, v); err != nil {
			return err
		}
		stored, err := c.tx.GetJoinToken(c, v.ID)
		if err != nil {
			return err
		}
		out = viewToken(stored)
		out.Token = t.Reveal()
		c.did(named(v))
		return nil
	})
	return out, err
}

func (c *call) subject(v *model.JoinToken, s JoinTokenSpec) error {
	switch {
	case s.Node != "" && s.Connector == "" && s.Organization == "":
		if !c.p.Can(access.NodesEnroll, model.OrgID{}) {
			return access.Refused(access.NodesEnroll)
		}
		n, err := nodeByRef(c, s.Node)
		if err != nil {
			return missing("node", s.Node, err)
		}
		if !n.Revoked.IsZero() {
			return fault.New(fault.Conflict, "node %s is revoked for good: delete it, or take another name", n.Name)
		}
		v.Node, v.Name = n.ID, n.Name
	case s.Node == "" && s.Connector != "" && s.Organization != "":
		if err := c.organization(s.Organization, access.ConnectorsEnroll); err != nil {
			return missing("organization", s.Organization, err)
		}
		k, err := connectorByRef(c, s.Connector)
		if err != nil {
			return missing("connector", s.Connector, err)
		}
		if !k.Revoked.IsZero() {
			return fault.New(fault.Conflict, "connector %s is revoked for good: delete it, or take another name", k.Name)
		}
		v.Connector, v.Name = k.ID, k.Name
	case s.Connector != "" && s.Node == "":
		return fault.Field("organization", "missing: want node, or organization and connector")
	case s.Organization != "" && s.Node == "":
		return fault.Field("connector", "missing: want node, or organization and connector")
	default:
		return fault.Field("node", "want node, or organization and connector")
	}
	return nil
}
