package model

import (
	"errors"
	"iter"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/policy"
)

// MaxSecrets is how many share links, and how many service tokens, a policy may have.
const MaxSecrets = 400

// Policy is who may reach the services that name it.
type Policy struct {
	ID        PolicyID
	Org       OrgID
	Name      string
	Rules     []policy.Rule
	Otherwise policy.Action

	SignIn            policy.SignIn
	Mail              []string // addresses of one-time codes
	PINHash           string   // argon2id
	PasswordHash      string   // argon2id
	Basic             []policy.Basic
	ClientCertificate policy.ClientCertificate

	ShareLinks    []*ShareLink    // by id
	ServiceTokens []*ServiceToken // by id
	Broken        string          // why the row can't be read; "" for one that can. Nobody gets in by such a policy
	Meta
}

// ShareLink opens what a policy guards to whoever has it. Only a hash of its secret is kept.
type ShareLink struct {
	ID      ShareLinkID
	Policy  PolicyID
	Title   string
	Hash    [32]byte  // SHA-256 of its text
	Expires time.Time // zero: never
	MaxUses uint32    // 0: any number
	Meta
}

// ServiceToken opens what a policy guards to a program. Only a hash of its secret is kept.
type ServiceToken struct {
	ID      ServiceTokenID
	Policy  PolicyID
	Name    string
	Hash    [32]byte  // SHA-256 of its text
	Expires time.Time // zero: never
	Meta
}

// Written is the policy as it is compiled.
func (p *Policy) Written() *policy.Policy {
	out := &policy.Policy{ID: p.ID.String(), Org: p.Org.String(), Name: p.Name, Rules: p.Rules, Otherwise: p.Otherwise}
	out.Auth = policy.Auth{SignIn: p.SignIn, Mail: p.Mail, PINHash: p.PINHash, PasswordHash: p.PasswordHash, Basic: p.Basic, ClientCertificate: p.ClientCertificate}
	for _, l := range p.ShareLinks {
		out.Auth.ShareLinks = append(out.Auth.ShareLinks, policy.Secret{ID: l.ID.String(), SHA256: l.Hash, Expires: l.Expires, MaxUses: l.MaxUses})
	}
	for _, t := range p.ServiceTokens {
		out.Auth.ServiceTokens = append(out.Auth.ServiceTokens, policy.Secret{ID: t.ID.String(), SHA256: t.Hash, Expires: t.Expires})
	}
	return out
}

// Compile makes of a policy what decides, or says as a fault why it makes no sense. Share links and service tokens are ways
// in even while there are none: they come and go without the policy being written.
func (p *Policy) Compile() (*policy.Compiled, error) {
	if p.Broken != "" {
		return nil, fault.New(fault.Invalid, "%s", p.Broken)
	}
	c, err := policy.Compile(p.Written())
	if fe, ok := errors.AsType[*policy.FieldError](err); ok {
		return nil, fault.Field(fe.Field, "%s", fe.Msg)
	}
	return c, err
}

// Validate reports what is wrong with the policy by itself.
func (p *Policy) Validate() error {
	if err := first(checkName(p.Name, MaxName), checkSet("organization", p.Org)); err != nil {
		return err
	}
	if len(p.ShareLinks) > MaxSecrets {
		return fault.New(fault.Conflict, "a policy has %d share links at most: revoke some", MaxSecrets)
	}
	if len(p.ServiceTokens) > MaxSecrets {
		return fault.New(fault.Conflict, "a policy has %d service tokens at most: revoke some", MaxSecrets)
	}
	_, err := p.Compile()
	return err
}

// CheckPolicyServices refuses a policy for services of which no node could tell what it asks: a path of a TCP connection, say.
// services are those that name it, or are to.
func CheckPolicyServices(p *Policy, services []*Service) error {
	c, err := p.Compile()
	if err != nil {
		return err
	}
	for _, s := range services {
		switch {
		case s.Kind == HTTP:
		case c.HTTP():
			return fault.Field("policy", "%s has rules about paths, methods or headers, which no node sees of service %s (%s)", p.Name, s.Name, s.Kind)
		case c.Asks() && !(s.EndsTLS() && c.Ways().Has(policy.WayCertificate)):
			return fault.Field("policy", "%s asks clients to authenticate, which those of service %s (%s) can't: client certificates are for http, and for tls with terminate",
				p.Name, s.Name, s.Kind)
		}
	}
	return nil
}

// Policy returns the policy with this id, nil if there is none.
func (m *Model) Policy(id PolicyID) *Policy { return m.policies.get(id) }

// Policies yields all policies, ordered by id.
func (m *Model) Policies() iter.Seq[*Policy] { return m.policies.all() }

// PoolsUsingPolicy yields the pools of the services that name a policy, ordered by id.
func (m *Model) PoolsUsingPolicy(id PolicyID) iter.Seq[PoolID] {
	return pools(m.servicesByPolicy, key(id))
}
