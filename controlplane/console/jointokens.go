package console

import (
	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// Join tokens that were made: of an organization those of its connectors, of the cluster all. None is shown again.

// joinTokens is what the pages of the organization, or of the cluster, show of them.
func (q *Request) joinTokens() *admin.Collection[model.JoinToken, struct{}, admin.JoinToken] {
	if q.inCluster() {
		return q.Admin.JoinTokens
	}
	return q.Admin.ConnectorJoinTokens
}

func listJoinTokens(q *Request) (*Page, error) {
	list, err := part(q, q.joinTokens().List)
	if err != nil {
		return nil, err
	}
	p := &Page{Title: "Join tokens", Live: joinTokensView(q, list)}
	if q.inCluster() {
		p.Crumbs = q.nodeCrumbs()
	} else {
		p.Crumbs = q.siteCrumbs()
	}
	return p, nil
}

// joinTokenNamed is the token of the path, which can still be revoked.
func (q *Request) joinTokenNamed() (admin.JoinToken, error) {
	v, err := q.joinTokens().Get(q.Context(), q.Who, q.scope(), q.PathValue("token"))
	if err == nil && v.State == "used" {
		err = fault.New(fault.Conflict, "It was used: %s has joined with it. Revoke that %s instead.", v.Subject, v.Kind)
	}
	return v, err
}

func askRevokeJoinToken(q *Request) (*Page, error) {
	v, err := q.joinTokenNamed()
	if err != nil {
		return nil, err
	}
	return &Page{
		Title: "Revoke the token for " + v.Subject + "?", Crumbs: []Crumb{{"Join tokens", q.here("join-tokens")}},
		Top: question("Nobody joins with it any more. The "+v.Kind+" "+v.Subject+" stays, and can be given another one.", "Revoke it", q.URL.Path, q.here("join-tokens")),
	}, nil
}

func revokeJoinToken(q *Request) (*Done, error) {
	v, err := q.joinTokenNamed()
	if err != nil {
		return nil, err
	}
	_, err = q.joinTokens().Delete(q.Context(), q.Who, q.scope(), v.ID)
	return &Done{To: q.here("join-tokens"), Said: "The token for " + v.Subject + " is revoked."}, err
}

// joinTokenBadge says what a token is good for.
func joinTokenBadge(v admin.JoinToken) Badge {
	switch v.State {
	case "used":
		return Badge{good, "used", "A program has joined with it"}
	case "expired":
		return Badge{idle, "ran out", "Nobody has used it in time"}
	}
	return Badge{warn, "outstanding", "Whoever has it may join"}
}

// joinsAs is the page of what a token is for.
func (q *Request) joinsAs(v admin.JoinToken) string {
	if v.Kind == "node" {
		return q.ToCluster("nodes", v.Subject)
	}
	return Root + "/orgs/" + path([]string{v.Organization, "sites", v.Site})
}

// joinsWhere says what a token makes of who has it, and where.
func joinsWhere(v admin.JoinToken) string {
	if v.Kind == "node" {
		return "node"
	}
	return "connector of " + v.Site + ", " + v.Organization
}

func (c *Console) joinTokenRoutes(org, cluster string) {
	c.page(org+"/join-tokens", access.ConnectorsRead, listJoinTokens)
	c.page(org+"/join-tokens/{token}/revoke", access.ConnectorsEnroll, askRevokeJoinToken)
	c.form(org+"/join-tokens/{token}/revoke", access.ConnectorsEnroll, revokeJoinToken)
	c.page(cluster+"/join-tokens", access.JoinTokensRead, listJoinTokens)
	c.page(cluster+"/join-tokens/{token}/revoke", access.JoinTokensDelete, askRevokeJoinToken)
	c.form(cluster+"/join-tokens/{token}/revoke", access.JoinTokensDelete, revokeJoinToken)
}
