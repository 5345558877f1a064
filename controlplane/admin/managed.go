package admin

import (
	"context"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/hostname"
)

// ManagedSpec is what is written of a managed certificate. Its names follow from services and domains.
type ManagedSpec struct {
	Keys    []string `json:"keys,omitempty" maxItems:"2" enum:"ecdsa,rsa" doc:"The types of key, with a certificate for each: ecdsa (P-256), which is shown to whoever can check it, and rsa (2048 bits). ecdsa alone if absent"`
	KeyType string   `json:"key_type,omitempty" enum:"ecdsa,rsa" doc:"The one type of key, instead of keys"`
	Profile string   `json:"profile,omitempty" maxLength:"64" doc:"One of the issuer's profiles, by our word for it; its default if absent"`
	Issuer  string   `json:"issuer,omitempty" maxLength:"255" doc:"The one issuer to order from, by name or id; the first that may issue, by rank, if absent"`
}

// ManagedState is how a managed certificate is doing.
type ManagedState string

// States.
const (
	ManagedIssuing ManagedState = "issuing" // there is no certificate yet
	ManagedValid   ManagedState = "valid"
	ManagedFailing ManagedState = "failing" // the last attempt failed; what there is is served on
	ManagedExpired ManagedState = "expired"
	ManagedUnused  ManagedState = "unused" // no service needs it
)

// Managed is a set of names that is kept in a certificate.
type Managed struct {
	ID             string       `json:"id"`
	Organization   string       `json:"organization"`
	Names          []string     `json:"names"`
	State          ManagedState `json:"state" enum:"issuing,valid,failing,expired,unused"`
	KeyType        string       `json:"key_type"`
	Keys           []string     `json:"keys,omitempty" doc:"All types of key that these names have certificates of; only where one certificate is asked for"`
	Profile        string       `json:"profile,omitempty"`
	Issuer         string       `json:"issuer,omitempty" doc:"The one that was asked for"`
	Certificate    string       `json:"certificate,omitempty" doc:"The newest certificate, by id"`
	NotAfter       *time.Time   `json:"not_after,omitempty"`
	RenewAt        *time.Time   `json:"renew_at,omitempty" doc:"Chosen when the certificate came, or in the window that the authority suggests (RFC 9773)"`
	SuggestedStart *time.Time   `json:"suggested_start,omitempty"`
	SuggestedEnd   *time.Time   `json:"suggested_end,omitempty"`
	NextAttempt    time.Time    `json:"next_attempt"`
	WaitsFor       string       `json:"waits_for,omitempty" doc:"What has to happen before it can be ordered at all, whenever the next attempt is: an issuer has to be resumed, created or configured"`
	LastProblem    string       `json:"last_problem,omitempty" doc:"In the authority's own words"`
	FailingSince   *time.Time   `json:"failing_since,omitempty"`
	Found          *Finding     `json:"found,omitempty" doc:"What the DNS was found to say of the domain, from which follows what is ordered; only where one certificate is asked for"`
	Orders         []Order      `json:"orders,omitempty" doc:"The newest first; only where one certificate is asked for"`
	Revocations    []Revocation `json:"revocations,omitempty" doc:"Of the certificates that it has had, the newest first; only where one certificate is asked for"`
	CreatedAt      time.Time    `json:"created_at"`
	UpdatedAt      time.Time    `json:"updated_at"`
}

// Finding is what the DNS was found to say of a domain. It is asked again and again.
type Finding struct {
	Domain    string     `json:"domain"`
	Delegated bool       `json:"delegated" doc:"Whether apex and wildcard can be proved in the DNS: the domain is delegated to the nodes, or its _acme-challenge leads to a domain that is. True until the contrary is found"`
	Provable  []string   `json:"provable,omitempty" doc:"Of a domain that is not delegated: hostnames that can be proved by themselves, because they lead to the nodes. As soon as there is one, each hostname gets a certificate of its own"`
	Problem   string     `json:"problem,omitempty" doc:"Why nothing could be found out the last time"`
	FoundAt   *time.Time `json:"found_at,omitempty"`
	NextCheck time.Time  `json:"next_check"`
}

// Order is an order at an authority, with what happened to it.
type Order struct {
	ID          string       `json:"id"`
	State       string       `json:"state"`
	Issuer      string       `json:"issuer" doc:"Empty if it was deleted since"`
	URL         string       `json:"url,omitempty"`
	Renewal     bool         `json:"renewal"`
	Problem     string       `json:"problem,omitempty" doc:"In the authority's own words"`
	NextAttempt *time.Time   `json:"next_attempt,omitempty"`
	CreatedAt   time.Time    `json:"created_at"`
	FinishedAt  *time.Time   `json:"finished_at,omitempty"`
	Events      []OrderEvent `json:"events"`
}

// OrderEvent is a line of a timeline.
type OrderEvent struct {
	At      time.Time `json:"at"`
	State   string    `json:"state"`
	What    string    `json:"what"`
	Problem string    `json:"problem,omitempty"`
}

// shownOrders is how many orders of a certificate are shown.
const shownOrders = 5

func managedCertificates(a *Admin) *Collection[model.ManagedCertificate, ManagedSpec, Managed] {
	return &Collection[model.ManagedCertificate, ManagedSpec, Managed]{
		a: a, kind: "managed certificate", inOrg: true, read: access.CertificatesRead, write: access.CertificatesWrite,
		byRef: managedByRef,
		list: func(c *call, p store.Page) ([]*model.ManagedCertificate, error) {
			return c.tx.ListManagedCertificates(c, c.org, p)
		},
		after: func(v *model.ManagedCertificate) string { return v.ID.UUID.String() },
		drop: func(c *call, v *model.ManagedCertificate) error {
			if v.Wanted {
				return fault.New(fault.Conflict, "services need %s", v.Names[0])
			}
			return c.tx.DeleteManagedCertificate(c, v.ID)
		},
		view: viewManaged,
	}
}

// managedByRef finds by id or by one of the names; what services need comes before what they don't, ECDSA before RSA.
func managedByRef(c *call, ref string) (*model.ManagedCertificate, error) {
	if id, err := (model.ManagedCertificateID{}).Parse(ref); err == nil {
		v, err := c.tx.GetManagedCertificate(c, id)
		if err == nil && v.Org != c.org {
			return nil, notHere("managed certificate")
		}
		return v, err
	}
	name, err := hostname.CanonicalPattern(ref)
	if err != nil {
		return nil, notHere("managed certificate")
	}
	found, err := c.tx.FindManagedCertificates(c, c.org, name)
	if err != nil {
		return nil, err
	}
	if len(found) > 0 {
		return found[0], nil
	}
	// Who ends the one of *.example.org does so for more names than the one that he has typed.
	if wild, ok := hostname.Wildcard(name); ok {
		if found, err = c.tx.FindManagedCertificates(c, c.org, wild); err == nil && len(found) > 0 {
			err = fault.New(fault.NotFound, "no such managed certificate: that of %s covers this name", wild)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, notHere("managed certificate")
}

func viewManaged(c *call, v *model.ManagedCertificate) (out Managed, err error) {
	out = Managed{
		ID: v.ID.String(), Names: v.Names, KeyType: string(v.KeyType), Profile: v.Profile, RenewAt: when(v.RenewAt), SuggestedStart: when(v.ARIStart),
		SuggestedEnd: when(v.ARIEnd), NextAttempt: v.NextAttempt.UTC(), LastProblem: v.LastProblem, FailingSince: when(v.FailingSince),
		CreatedAt: v.Created.UTC(), UpdatedAt: v.Updated.UTC(),
	}
	if out.Organization, err = c.orgName(v.Org); err != nil {
		return out, err
	}
	if out.Issuer, err = c.issuerName(v.Issuer); err != nil {
		return out, err
	}
	issuers, err := c.tx.ListIssuers(c)
	if err != nil {
		return out, err
	}
	out.WaitsFor = certs.Waits(v, issuers)
	if !v.Certificate.IsZero() {
		cert, err := c.tx.GetCertificate(c, v.Certificate)
		switch {
		case err == nil:
			out.Certificate, out.NotAfter = cert.ID.String(), when(cert.NotAfter)
		case fault.Of(err) != fault.NotFound: // somebody removed it by hand
			return out, err
		}
	}
	out.State = managedState(v, out.NotAfter, time.Now())
	return out, nil
}

func managedState(v *model.ManagedCertificate, notAfter *time.Time, now time.Time) ManagedState {
	switch {
	case !v.Wanted:
		return ManagedUnused
	case notAfter != nil && !now.Before(*notAfter):
		return ManagedExpired
	case !v.FailingSince.IsZero():
		return ManagedFailing
	case notAfter == nil:
		return ManagedIssuing
	}
	return ManagedValid
}

func (c *call) issuerName(id model.IssuerID) (string, error) {
	if id.IsZero() {
		return "", nil
	}
	return c.name(id.String(), func() (string, error) {
		i, err := c.tx.GetIssuer(c, id)
		if err != nil {
			return "", err
		}
		return i.Name, nil
	})
}

// DescribeManaged returns a managed certificate with what happened to its orders.
func (a *Admin) DescribeManaged(ctx context.Context, p access.Principal, org, ref string) (out Managed, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if err := a.Managed.begin(c, a.Managed.read, org); err != nil {
			return err
		}
		v, err := managedByRef(c, ref)
		if err != nil {
			return err
		}
		if out, err = viewManaged(c, v); err != nil {
			return err
		}
		if out.Keys, err = c.keysOf(v); err != nil {
			return err
		}
		if out.Found, err = c.found(v); err != nil {
			return err
		}
		if out.Orders, err = c.orders(v.ID); err != nil {
			return err
		}
		out.Revocations, err = c.revocationsOf(v.ID)
		return err
	})
	return out, err
}

// found is what is known of the domain that the names of a certificate stand in; nil if it was not asked about.
func (c *call) found(v *model.ManagedCertificate) (*Finding, error) {
	ds, err := c.tx.ListDomainsCovering(c, strings.TrimPrefix(v.Names[0], "*."))
	if err != nil || len(ds) == 0 || ds[0].Org != v.Org {
		return nil, err
	}
	f, err := c.tx.GetDomainFinding(c, ds[0].ID)
	if fault.Of(err) == fault.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &Finding{ds[0].Name, f.Delegated, f.Provable, f.Problem, when(f.Found), f.NextCheck.UTC()}, nil
}

func (c *call) orders(of model.ManagedCertificateID) ([]Order, error) {
	rows, err := c.tx.ListOrdersOf(c, of, shownOrders)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	var ids []model.OrderID
	for _, o := range rows {
		ids = append(ids, o.ID)
	}
	events, err := c.tx.ListOrderEvents(c, ids...)
	if err != nil {
		return nil, err
	}
	var out []Order
	for _, o := range rows {
		v := Order{
			ID: o.ID.String(), State: string(o.State), URL: o.URL, Renewal: o.Renewal, Problem: o.Problem, CreatedAt: o.Created.UTC(), FinishedAt: when(o.Finished),
			Events: []OrderEvent{},
		}
		if !o.State.Final() {
			v.NextAttempt = when(o.NextAttempt)
		}
		if v.Issuer, err = c.issuerName(o.Issuer); err != nil {
			return nil, err
		}
		for _, e := range events {
			if e.Order == o.ID {
				v.Events = append(v.Events, OrderEvent{e.At.UTC(), string(e.State), e.What, e.Problem})
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// RenewManaged makes a certificate due now, whatever its next attempt was. Budgets and pauses of issuers hold all
// the same.
func (a *Admin) RenewManaged(ctx context.Context, p access.Principal, org, ref string) (Managed, model.Revision, error) {
	return a.changeManaged(ctx, p, org, ref, "renew", func(c *call, v *model.ManagedCertificate) error {
		if !v.Wanted {
			return fault.New(fault.Conflict, "no service needs %s", v.Names[0])
		}
		v.NextAttempt, v.LadderStep = time.Now().UTC(), 0
		if err := c.tx.UpdateManagedCertificate(c, v); err != nil {
			return err
		}
		return c.tx.PlanCertificates(c)
	})
}

// changeManaged alters a row that nobody else changes meanwhile.
func (a *Admin) changeManaged(ctx context.Context, p access.Principal, org, ref, verb string, fn func(c *call, v *model.ManagedCertificate) error) (out Managed, rev model.Revision, err error) {
	rev, err = a.Managed.do(ctx, p, org, verb, func(c *call) error {
		v, err := managedByRef(c, ref)
		if err != nil {
			return err
		}
		if v, err = c.tx.LockManagedCertificate(c, v.ID); err != nil {
			return err
		}
		if err := fn(c, v); err != nil {
			return err
		}
		a.Managed.did(c, verb, v)
		out, err = a.Managed.shown(c, v.ID.String())
		return err
	})
	return out, rev, err
}
