package admin

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/audit"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// as is what the database lets a caller see: the organizations in which he may anything, or all for those who may
// anything in the cluster.
func as(p access.Principal) store.As {
	return store.As{Actor: p.Actor(), User: p.User, Orgs: p.Organizations(), All: len(p.Grants.Cluster) > 0}
}

// read runs fn on behalf of a caller.
func (a *Admin) read(ctx context.Context, p access.Principal, fn func(c *call) error) error {
	return a.store.ViewAs(ctx, a.see(p), func(tx *store.Tx) error { return fn(a.call(ctx, tx, p)) })
}

// write runs an action on behalf of a caller. That it was refused is recorded here, that it was done by fn, which
// knows of what.
func (a *Admin) write(ctx context.Context, p access.Principal, action string, fn func(c *call) error) (model.Revision, error) {
	var last *call
	rev, err := a.store.TxAs(ctx, a.see(p), func(tx *store.Tx) error {
		last = a.call(ctx, tx, p)
		last.action = action
		if err := fn(last); err != nil {
			return err
		}
		return rehearsed(ctx, tx)
	})
	if errors.Is(err, errRehearsed) {
		return 0, nil
	}
	if last != nil && fault.Of(err) == fault.Denied && !p.IsZero() {
		e := last.entry("", "")
		e.Result, e.Detail = audit.Refused, err.Error()
		a.Record(ctx, e)
	}
	return rev, err
}

// did records that the action was done, to an object.
func (c *call) did(id, name string) { c.tx.Audit(c.entry(id, name)) }

func (c *call) entry(id, name string) audit.Entry {
	e := Actor(c.p)
	e.Action, e.Object, e.ObjectName, e.Result, e.Organization = c.action, id, name, audit.Done, c.org.String()
	return e
}

// Actor begins an entry of the audit log with who acts, and from where.
func Actor(p access.Principal) audit.Entry {
	e := audit.Entry{Actor: p.Actor(), ActorName: p.Name, Credential: p.Session.String() + p.Key.String()}
	if p.Address.IsValid() {
		e.Address = p.Address.String()
	}
	switch {
	case !p.User.IsZero():
		e.Actor = "user:" + p.User.String()
	case !p.Account.IsZero():
		e.Actor = "account:" + p.Account.String()
	}
	return e
}

// Record adds an entry of its own to the audit log, of what changed nothing: a sign-in that was refused, for example. A user
// who is known by his id alone gets his name. Nobody gets another answer because that fails.
func (a *Admin) Record(ctx context.Context, e audit.Entry) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = a.store.Tx(ctx, e.Actor, func(tx *store.Tx) error {
		if id, err := (model.UserID{}).Parse(strings.TrimPrefix(e.Actor, "user:")); err == nil && e.ActorName == "" {
			if u, err := tx.GetUser(ctx, id); err == nil {
				e.ActorName = u.Email
			}
		}
		tx.Audit(e)
		return nil
	})
}

// action names what is done to objects of a kind: "managed-certificate.renew".
func action(kind, verb string) string {
	return strings.ReplaceAll(strings.ToLower(kind), " ", "-") + "." + verb
}

// named are id and name of a row, for the log.
func named(row any) (id, name string) {
	switch v := row.(type) {
	case *model.Organization:
		return v.ID.String(), v.Name
	case *model.Region:
		return v.ID.String(), v.Name
	case *model.Pool:
		return v.ID.String(), v.Name
	case *model.Node:
		return v.ID.String(), v.Name
	case *model.Site:
		return v.ID.String(), v.Name
	case *model.Connector:
		return v.ID.String(), v.Name
	case *model.Visitor:
		return v.ID.String(), v.Mail
	case *model.Service:
		return v.ID.String(), v.Name
	case *model.Target:
		return v.ID.String(), v.Name
	case *model.Domain:
		return v.ID.String(), v.Name
	case *model.Certificate:
		return v.ID.String(), strings.Join(v.Names, " ")
	case *model.ManagedCertificate:
		return v.ID.String(), strings.Join(v.Names, " ")
	case *model.Issuer:
		return v.ID.String(), v.Name
	case *model.JoinToken:
		return v.ID.String(), v.Name
	case *model.APIKey:
		return v.ID.String(), v.Name
	case *model.User:
		return v.ID.String(), v.Email
	case *model.Membership:
		return v.User.String(), v.Email
	case *model.Role:
		return v.ID.String(), v.Name
	case *model.Group:
		return v.ID.String(), v.Name
	case *model.ServiceAccount:
		return v.ID.String(), v.Name
	case *model.AlertRule:
		return v.ID.String(), v.Name
	case *model.Webhook:
		return v.ID.String(), v.Name
	case *model.Policy:
		return v.ID.String(), v.Name
	case *model.Invitation:
		return v.ID.String(), v.Email
	case *model.IdentityProvider:
		return v.ID.String(), v.Name
	case interface{ Audited() (id, name string) }:
		return v.Audited()
	}
	return "", ""
}

// RecentAudit lists what was done last, the newest first: in an organization, or, without one, at all.
func (a *Admin) RecentAudit(ctx context.Context, p access.Principal, org string, limit int) (out []*audit.Entry, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if err := c.auditOf(org); err != nil {
			return err
		}
		out, err = c.tx.RecentAudit(c, c.org, limit)
		return err
	})
	return out, err
}

// Audit lists the audit log after a number: of an organization, or, without one, of everything, which can be verified.
func (a *Admin) Audit(ctx context.Context, p access.Principal, org string, after uint64, limit int) (out []*audit.Entry, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if err := c.auditOf(org); err != nil {
			return err
		}
		out, err = c.tx.ListAudit(c, c.org, after, limit)
		return err
	})
	return out, err
}

// AuditAnchors lists the signed heads of the audit log after a number.
func (a *Admin) AuditAnchors(ctx context.Context, p access.Principal, after uint64, limit int) (out []*audit.Anchor, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if !p.Can(access.AuditRead, model.OrgID{}) {
			return access.Refused(access.AuditRead)
		}
		id, err := c.tx.ClusterID(c)
		if err != nil {
			return err
		}
		out, err = c.tx.ListAuditAnchors(c, after, limit)
		for _, n := range out {
			n.Cluster = id.String()
		}
		return err
	})
	return out, err
}

// AnchorAudit signs the head of the audit log with the cluster's identity authority, unless it is signed already.
func AnchorAudit(ctx context.Context, s *store.Store, cluster string, signer *authority.Authority) (made *audit.Anchor, err error) {
	_, err = s.Tx(ctx, "audit", func(tx *store.Tx) error {
		made = nil
		head, err := tx.AuditHead(ctx)
		if err != nil || head.Seq == 0 {
			return err
		}
		if last, _, err := tx.LastAuditAnchor(ctx); err == nil && last >= head.Seq {
			return nil
		} else if err != nil && fault.Of(err) != fault.NotFound {
			return err
		}
		n := &audit.Anchor{Head: head, Cluster: cluster}
		if n.Signature, err = signer.Sign(n.Message()); err != nil {
			return err
		}
		if err := tx.CreateAuditAnchor(ctx, *n); err != nil {
			return err
		}
		made = n
		return nil
	})
	return made, err
}
