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

// JoinTokenKept is how long a join token that was used, or ran out, is still listed.
const JoinTokenKept = 30 * 24 * time.Hour

// JoinToken is a right to join. Its text is shown once, when it is made.
type JoinToken struct {
	ID           string     `json:"id"`
	Kind         string     `json:"kind" enum:"node,connector"`
	Subject      string     `json:"subject" doc:"Name of the node or connector"`
	Organization string     `json:"organization,omitempty" doc:"Of the connector"`
	Site         string     `json:"site,omitempty" doc:"That the connector stands in"`
	State        string     `json:"state" enum:"good,used,expired" doc:"good: whoever has it may join. A token that is revoked is gone"`
	CreatedBy    string     `json:"created_by,omitempty" doc:"Who made it, as the maker was called then; absent if nobody knows"`
	ExpiresAt    time.Time  `json:"expires_at"`
	UsedAt       *time.Time `json:"used_at,omitempty"`
	CreatedAt    time.Time  `json:"created_at"`
	Token        string     `json:"token,omitempty" doc:"The token itself; shown once, when it is made"`
	Control      []string   `json:"control,omitempty" doc:"With the token: host:port where the program reaches the control plane; absent where its settings don't say"`
}

// joinTokens is all join tokens, of nodes and of all connectors, the newest first.
func joinTokens(a *Admin) *Collection[model.JoinToken, struct{}, JoinToken] {
	k := tokensOf(a)
	k.read, k.write = access.JoinTokensRead, access.JoinTokensDelete
	return k
}

// connectorJoinTokens is the join tokens of an organization's connectors, the newest first. Who may make them may revoke them.
func connectorJoinTokens(a *Admin) *Collection[model.JoinToken, struct{}, JoinToken] {
	k := tokensOf(a)
	k.inOrg, k.read, k.write = true, access.ConnectorsRead, access.ConnectorsEnroll
	return k
}

func tokensOf(a *Admin) *Collection[model.JoinToken, struct{}, JoinToken] {
	return &Collection[model.JoinToken, struct{}, JoinToken]{
		a: a, kind: "join token",
		byRef: func(c *call, ref string) (*model.JoinToken, error) {
			id, err := model.JoinTokenID{}.Parse(ref)
			if err != nil {
				return nil, notHere("join token")
			}
			v, err := c.tx.GetJoinToken(c, id)
			if err != nil || c.org.IsZero() {
				return v, err
			}
			if v.Connector.IsZero() {
				return nil, notHere("join token")
			}
			k, err := c.tx.GetConnector(c, v.Connector)
			if err == nil && k.Org != c.org {
				return nil, notHere("join token")
			}
			return v, err
		},
		list:  func(c *call, p store.Page) ([]*model.JoinToken, error) { return c.tx.ListJoinTokens(c, c.org, p) },
		after: func(v *model.JoinToken) string { return v.ID.UUID.String() },
		drop: func(c *call, v *model.JoinToken) error {
			err := c.tx.DeleteJoinToken(c, v.ID)
			if fault.Of(err) == fault.NotFound {
				if _, err := c.tx.GetJoinToken(c, v.ID); err != nil {
					return err // somebody else was quicker
				}
				// Whoever takes it back must not believe that nobody has joined.
				return fault.New(fault.Conflict, "the token was used: revoke the %s %s instead", kindOfToken(v), v.Name)
			}
			return err
		},
		view: viewToken,
	}
}

// kindOfToken is what a token makes of who has it.
func kindOfToken(v *model.JoinToken) string {
	if v.Node.IsZero() {
		return "connector"
	}
	return "node"
}

func viewToken(c *call, v *model.JoinToken) (out JoinToken, err error) {
	out = JoinToken{
		ID: v.ID.String(), Kind: kindOfToken(v), Subject: v.Name, State: "good", CreatedBy: v.By, ExpiresAt: v.Expires.UTC(), UsedAt: when(v.Used), CreatedAt: v.Created.UTC(),
	}
	switch {
	case !v.Used.IsZero():
		out.State = "used"
	case !time.Now().Before(v.Expires):
		out.State = "expired"
	}
	if v.Connector.IsZero() {
		return out, nil
	}
	k, err := c.tx.GetConnector(c, v.Connector)
	if err != nil {
		return out, err
	}
	if out.Site, err = c.siteName(k.Site); err != nil {
		return out, err
	}
	out.Organization, err = c.orgName(k.Org)
	return out, err
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
		v := &model.JoinToken{ID: model.JoinTokenID{}.New(), By: p.Name}
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
		if out, err = viewToken(c, stored); err != nil {
			return err
		}
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
