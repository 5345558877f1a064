package admin

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"net/mail"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/hostname"
)

// IssuerSpec is what is written of an issuer.
type IssuerSpec struct {
	DirectoryURL  string            `json:"directory_url" minLength:"1" maxLength:"1024" doc:"Of the authority's ACME directory (RFC 8555), https. Whoever creates an issuer agrees to the authority's terms of service"`
	Contacts      []string          `json:"contacts,omitempty" maxItems:"10" doc:"Mail addresses that the authority may write to"`
	EAB           *EAB              `json:"eab,omitempty" doc:"External account binding, where the authority wants one"`
	RootsPEM      string            `json:"roots_pem,omitempty" maxLength:"262144" doc:"Certificates that the authority's server is verified with; the system's if empty"`
	Rank          *int              `json:"rank,omitempty" minimum:"0" maximum:"999" doc:"The lowest is asked first; 100 if absent"`
	Profiles      map[string]string `json:"profiles,omitempty" doc:"Our word for a profile, and the authority's; what stands under default is asked for where a certificate names none"`
	CAAIdentities []string          `json:"caa_identities,omitempty" maxItems:"16" doc:"Domains that stand for the authority in CAA records (RFC 8659); what the authority's directory names if absent. As soon as they are known of every issuer, zones allow these and no others"`
	Suspended     bool              `json:"suspended,omitempty" doc:"Nothing new is ordered or renewed from it: certificates come from the others. Orders under way go on; what it has issued is served, and can be revoked"`
	Limits        IssuerLimits      `json:"limits,omitempty" doc:"What the authority lets one account do; Let's Encrypt's where absent"`
}

// EAB is an external account binding (RFC 8555 §7.3.4).
type EAB struct {
	KeyID   string `json:"key_id" minLength:"1" maxLength:"1024"`
	HMACKey string `json:"hmac_key,omitempty" writeOnly:"true" maxLength:"1024" doc:"As the authority gave it, base64url; never shown. Of an issuer that is there, what it has stays if this is absent"`
}

// IssuerLimits are an authority's rate limits.
type IssuerLimits struct {
	NewOrders         int `json:"new_orders,omitempty" minimum:"0" maximum:"1000000" doc:"New orders in 3 hours"`
	PerDomain         int `json:"per_domain,omitempty" minimum:"0" maximum:"1000000" doc:"Certificates of a registered domain in 7 days"`
	PerSet            int `json:"per_set,omitempty" minimum:"0" maximum:"1000000" doc:"Certificates of exactly the same names in 7 days"`
	FailedValidations int `json:"failed_validations,omitempty" minimum:"0" maximum:"1000000" doc:"Failed validations of a name in an hour"`
}

// Issuer is an authority that certificates come from.
type Issuer struct {
	Meta
	DirectoryURL  string            `json:"directory_url,omitempty" doc:"Absent of the issuer internal, the cluster's own authority"`
	Contacts      []string          `json:"contacts,omitempty"`
	EAB           *EAB              `json:"eab,omitempty"`
	RootsPEM      string            `json:"roots_pem,omitempty"`
	Rank          int               `json:"rank"`
	Profiles      map[string]string `json:"profiles,omitempty"`
	CAAIdentities []string          `json:"caa_identities,omitempty" doc:"As written"`
	CAADomains    []string          `json:"caa_domains,omitempty" doc:"What counts in CAA records: as written, else as the authority's directory says, which is read when the account is made and once a day"`
	Suspended     bool              `json:"suspended,omitempty" doc:"Nothing new is ordered or renewed from it"`
	Limits        IssuerLimits      `json:"limits"`
	AccountURL    string            `json:"account_url,omitempty" doc:"Empty until the first order"`
	Rollover      *Rollover         `json:"rollover,omitempty" doc:"Of the account's key, as long as it is under way"`
	RolledOverAt  *time.Time        `json:"rolled_over_at,omitempty" doc:"When the account's key was changed last"`
	PausedUntil   *time.Time        `json:"paused_until,omitempty" doc:"Nothing is asked before: it said so, or it fails"`
	FailingSince  *time.Time        `json:"failing_since,omitempty"`
	LastProblem   string            `json:"last_problem,omitempty" doc:"In its own words"`
}

// Rollover is a change of an account's key (RFC 8555 §7.3.5) that is under way.
type Rollover struct {
	NextAttempt time.Time `json:"next_attempt"`
	Problem     string    `json:"problem,omitempty" doc:"In the authority's own words"`
}

// RollOver has the key of an issuer's account changed. The worker does it, and goes on until the authority agrees; what is ordered
// goes on meanwhile.
func (a *Admin) RollOver(ctx context.Context, p access.Principal, ref string) (out Issuer, rev model.Revision, err error) {
	rev, err = a.Issuers.do(ctx, p, "", "roll-over", func(c *call) error {
		v, err := issuerByRef(c, ref)
		if err != nil {
			return err
		}
		if v.Internal() {
			return errInternal
		}
		if v.AccountURL == "" {
			return fault.New(fault.Conflict, "issuer %s has no account yet: its key is made with the first order", v.Name)
		}
		if err := c.tx.AskRollover(c, v.ID, time.Now()); err != nil {
			return err
		}
		a.Issuers.did(c, "roll-over", v)
		out, err = a.Issuers.shown(c, v.ID.String())
		return err
	})
	return out, rev, err
}

// Sealer seals secrets that callers hand over, for the row that they are kept in, and opens them to see whether they are the
// same.
type Sealer interface {
	Seal(plain []byte, row string) ([]byte, error)
	Open(sealed []byte, row string) ([]byte, error)
}

const (
	defaultRank    = 100
	defaultProfile = "default" // the API's word for the empty one
)

func issuers(a *Admin) *Collection[model.Issuer, IssuerSpec, Issuer] {
	return &Collection[model.Issuer, IssuerSpec, Issuer]{
		a: a, kind: "issuer", read: access.IssuersRead, write: access.IssuersWrite,
		byRef:  issuerByRef,
		list:   listIssuers,
		after:  func(v *model.Issuer) string { return v.Name },
		build:  buildIssuer,
		create: func(c *call, v *model.Issuer) error { return c.tx.CreateIssuer(c, v) },
		update: updateIssuer,
		drop:   dropIssuer,
		view:   func(_ *call, v *model.Issuer) (Issuer, error) { return viewIssuer(v), nil },
	}
}

func updateIssuer(c *call, v *model.Issuer) (bool, error) {
	old, err := c.tx.GetIssuer(c, v.ID)
	if err != nil || reflect.DeepEqual(old, v) {
		return false, err
	}
	if err := c.tx.UpdateIssuer(c, v); err != nil || old.Suspended || !v.Suspended {
		return true, err
	}
	return true, c.tx.EndPlannedOrders(c, v.ID, v.Name+" is suspended", time.Now())
}

// dropIssuer removes an issuer that nothing is under way at, and whose account nobody needs any more.
func dropIssuer(c *call, v *model.Issuer) error {
	if v.Internal() {
		return errInternal
	}
	if _, err := c.tx.LockIssuer(c, v.ID); err != nil { // from here on nothing is planned with it
		return err
	}
	now := time.Now()
	if err := c.tx.EndPlannedOrders(c, v.ID, v.Name+" is removed", now); err != nil {
		return err
	}
	use, err := c.tx.IssuerUse(c, v.ID, now)
	if err != nil {
		return err
	}
	if why := needed(v, use); why != "" {
		return fault.New(fault.Conflict, "issuer %s is still needed: %s", v.Name, why)
	}
	return c.tx.DeleteIssuer(c, v.ID, now)
}

// needed says what an issuer is still needed for, and what to do about it; "": nothing.
func needed(v *model.Issuer, use store.IssuerUse) string {
	var why []string
	if use.Orders > 0 {
		why = append(why, count(use.Orders, "order is", "orders are")+" under way there, and will end")
	}
	if use.Certificates > 0 {
		why = append(why, count(use.Certificates, "certificate of it is", "certificates of it are")+" valid, until "+use.ValidUntil.UTC().Format(time.RFC3339)+
			" at the latest, and only its account revokes them: renewed now they come from another issuer, and go when all nodes have had those for a day")
	}
	if use.Revocations > 0 {
		why = append(why, "it has not confirmed "+count(use.Revocations, "revocation", "revocations")+" yet")
	}
	if use.Pinned > 0 {
		why = append(why, count(use.Pinned, "certificate is", "certificates are")+" to be ordered from it alone ("+use.PinnedName+"): configure another issuer")
	}
	if len(why) > 0 && !v.Suspended {
		why = append(why, "suspend it meanwhile, so that nothing new is ordered from it")
	}
	return strings.Join(why, "; ")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return itoa(n) + " " + many
}

var errInternal = fault.New(fault.Conflict, "issuer %s is the cluster's own authority: it is neither written nor removed", model.InternalIssuer)

func issuerByRef(c *call, ref string) (*model.Issuer, error) {
	if id, err := (model.IssuerID{}).Parse(ref); err == nil {
		return c.tx.GetIssuer(c, id)
	}
	all, err := c.tx.ListIssuers(c)
	for _, v := range all {
		if v.Name == ref {
			return v, nil
		}
	}
	if err != nil {
		return nil, err
	}
	return nil, notHere("issuer")
}

// listIssuers pages in memory: there is one row for each authority that a cluster knows.
func listIssuers(c *call, p store.Page) ([]*model.Issuer, error) {
	all, err := c.tx.ListIssuers(c)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b *model.Issuer) int { return cmp.Compare(a.Name, b.Name) })
	all = slices.DeleteFunc(all, func(v *model.Issuer) bool { return v.Name <= p.After })
	return all[:min(len(all), p.Limit)], nil
}

func buildIssuer(c *call, old *model.Issuer, name string, s IssuerSpec) (*model.Issuer, error) {
	v := &model.Issuer{ID: model.IssuerID{}.New(), Name: name}
	if old != nil {
		if old.Internal() {
			return nil, errInternal
		}
		*v = *old
	} else if name == model.InternalIssuer {
		return nil, errInternal
	}
	u, err := url.Parse(s.DirectoryURL)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return nil, fault.Field("directory_url", "%q, want an https URL without user and fragment", s.DirectoryURL)
	}
	if old != nil && old.DirectoryURL != s.DirectoryURL {
		return nil, fault.Field("directory_url", "it stays %s: another authority is another issuer", old.DirectoryURL)
	}
	v.DirectoryURL = s.DirectoryURL
	if v.Contacts, err = contacts(s.Contacts); err != nil {
		return nil, err
	}
	if err := roots(s.RootsPEM); err != nil {
		return nil, err
	}
	v.RootsPEM = nil
	if s.RootsPEM != "" {
		v.RootsPEM = []byte(s.RootsPEM)
	}
	v.Rank = defaultRank
	if s.Rank != nil {
		v.Rank = *s.Rank
	}
	v.Profiles = profiles(s.Profiles)
	v.CAAIdentities = nil
	for i, d := range s.CAAIdentities {
		canon, err := hostname.Canonical(d)
		if err != nil {
			return nil, fault.Field("caa_identities["+itoa(i)+"]", "%q is no domain", d)
		}
		v.CAAIdentities = append(v.CAAIdentities, canon)
	}
	v.Limits, v.Suspended = model.IssuerLimits(s.Limits), s.Suspended
	return v, c.bind(v, s.EAB)
}

// bind seals the external account binding for its issuer.
func (c *call) bind(v *model.Issuer, e *EAB) error {
	if e == nil {
		v.EABKeyID, v.SealedEABKey = "", nil
		return nil
	}
	if e.HMACKey == "" {
		if v.SealedEABKey == nil || v.EABKeyID != e.KeyID {
			return fault.Field("eab.hmac_key", "missing")
		}
		return nil
	}
	key, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(e.HMACKey, "="))
	if err != nil || len(key) < 16 {
		return fault.Field("eab.hmac_key", "want 16 bytes at least, as base64url")
	}
	v.EABKeyID = e.KeyID
	v.SealedEABKey, err = c.a.sealed(v.SealedEABKey, key, v.EABRow())
	return err
}

// sealed is a secret for its row: what is kept, if that is the same. What is written again is no change.
func (a *Admin) sealed(kept, plain []byte, row string) ([]byte, error) {
	if len(kept) > 0 {
		if was, err := a.sealer.Open(kept, row); err == nil && bytes.Equal(was, plain) {
			return kept, nil
		}
	}
	return a.sealer.Seal(plain, row)
}

// contacts makes URLs of mail addresses, as RFC 8555 §7.3 wants them.
func contacts(in []string) (out []string, err error) {
	for i, text := range in {
		a, err := mail.ParseAddress(strings.TrimPrefix(text, "mailto:"))
		if err != nil || a.Name != "" || strings.ContainsAny(a.Address, ",?") {
			return nil, fault.Field("contacts["+itoa(i)+"]", "%q is no mail address", text)
		}
		out = append(out, "mailto:"+a.Address)
	}
	return out, nil
}

func roots(text string) error {
	rest := []byte(text)
	for n := 0; len(strings.TrimSpace(string(rest))) > 0; n++ {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil || b.Type != "CERTIFICATE" {
			return fault.Field("roots_pem", "block %d: want certificates in PEM", n+1)
		}
		if _, err := x509.ParseCertificate(b.Bytes); err != nil {
			return fault.Field("roots_pem", "block %d: %v", n+1, err)
		}
	}
	return nil
}

// profiles takes the API's word for the empty one.
func profiles(in map[string]string) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := maps.Clone(in)
	if v, ok := out[defaultProfile]; ok {
		delete(out, defaultProfile)
		out[""] = v
	}
	return out
}

func viewIssuer(v *model.Issuer) Issuer {
	out := Issuer{
		Meta: meta(v.ID.String(), v.Name, v.Meta), DirectoryURL: v.DirectoryURL, RootsPEM: string(v.RootsPEM), Rank: v.Rank, CAAIdentities: v.CAAIdentities, CAADomains: v.CAADomains(),
		Suspended: v.Suspended, Limits: IssuerLimits(v.Limits), AccountURL: v.AccountURL, RolledOverAt: when(v.RolledOver), PausedUntil: when(v.PausedUntil), FailingSince: when(v.FailingSince), LastProblem: v.LastProblem,
	}
	if !v.RolloverNext.IsZero() {
		out.Rollover = &Rollover{v.RolloverNext.UTC(), v.RolloverProblem}
	}
	for _, c := range v.Contacts {
		out.Contacts = append(out.Contacts, strings.TrimPrefix(c, "mailto:"))
	}
	if v.EABKeyID != "" {
		out.EAB = &EAB{KeyID: v.EABKeyID}
	}
	if len(v.Profiles) > 0 {
		out.Profiles = maps.Clone(v.Profiles)
		if p, ok := out.Profiles[""]; ok {
			delete(out.Profiles, "")
			out.Profiles[defaultProfile] = p
		}
	}
	return out
}
