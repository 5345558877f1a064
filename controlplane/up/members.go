package up

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/warrenedge/warren/controlplane/apiclient/typed"
	"github.com/warrenedge/warren/shared/atomicfile"
)

// member is a node or a connector. Connectors of other organizations may have the same name.
type member struct{ name, id string }

// putNode writes the object of a node, and makes its program able to join. A node that was revoked or deleted since the
// last start joins anew: whoever starts a cluster on his machine wants one that works.
func (c *cluster) putNode(ctx context.Context, name, token string) (member, error) {
	put := func() (typed.Node, error) {
		n, _, err := c.api.PutNode(ctx, name, typed.PutNodeParams{}, typed.NodeBody{Pool: "default", Region: "default", Addresses: []string{"127.0.0.1"}})
		return n, err
	}
	n, err := put()
	if err == nil && !n.RevokedAt.IsZero() {
		c.say("%s was revoked: another takes its place", name)
		if _, err := c.api.DeleteNode(ctx, name, typed.DeleteNodeParams{}); err != nil {
			return member{}, err
		}
		n, err = put()
	}
	if err != nil {
		return member{}, err
	}
	return member{name, n.ID}, c.admit(ctx, name, token, n.Enrolled, typed.JoinTokenSpec{Node: name})
}

// putConnector is putNode of the connector.
func (c *cluster) putConnector(ctx context.Context, name, token string) (member, error) {
	put := func() (typed.Connector, error) {
		n, _, err := c.api.PutConnector(ctx, org, name, typed.PutConnectorParams{}, typed.ConnectorBody{Site: site})
		return n, err
	}
	n, err := put()
	if err == nil && !n.RevokedAt.IsZero() {
		c.say("%s was revoked: another takes its place", name)
		if _, err := c.api.DeleteConnector(ctx, org, name, typed.DeleteConnectorParams{}); err != nil {
			return member{}, err
		}
		n, err = put()
	}
	if err != nil {
		return member{}, err
	}
	return member{name, n.ID}, c.admit(ctx, name, token, n.Enrolled, typed.JoinTokenSpec{Organization: org, Connector: name})
}

// admit makes a join token, unless the program has an identity that the control plane knows.
func (c *cluster) admit(ctx context.Context, name, tokenFile string, enrolled bool, subject typed.JoinTokenSpec) error {
	state := c.path(name)
	if exists(filepath.Join(state, "identity.crt")) {
		if enrolled {
			return nil
		}
		if err := os.RemoveAll(state); err != nil { // of one that is gone
			return err
		}
	}
	t, _, err := c.api.CreateJoinToken(ctx, subject)
	if err != nil {
		return err
	}
	return atomicfile.Write(tokenFile, []byte(t.Token+"\n"))
}

// ready waits until the control plane has these members of a kind up.
func (c *cluster) ready(ctx context.Context, kind string, members ...member) error {
	err := c.until(ctx, kind, func() error {
		st, _, err := c.api.Status(ctx)
		if err != nil {
			return err
		}
		states := map[string]string{}
		for _, m := range append(st.Nodes, st.Connectors...) {
			states[m.ID] = m.State
		}
		var missing []string
		for _, m := range members {
			if state := states[m.id]; state != "up" {
				missing = append(missing, m.name+" is "+state)
			}
		}
		if missing != nil {
			return errors.New(strings.Join(missing, ", "))
		}
		return nil
	})
	if err == nil {
		c.say("%s up: %d", kind, len(members))
	}
	return err
}
