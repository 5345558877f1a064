package snapshot

import (
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/policy"
	"github.com/warrenedge/warren/shared/resource"
)

// policyResource compiles a policy for the pools that have a service which names it. One that makes no sense, which only
// somebody who writes rows by hand can make, is none: its services admit nobody.
func policyResource(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	p := m.Policy(model.PolicyID{UUID: id})
	if p == nil {
		return nil
	}
	d := &draft{name: policyName(p.Org, p.ID)}
	for pool := range m.PoolsUsingPolicy(p.ID) {
		d.scopes = append(d.scopes, poolScope(pool))
	}
	if len(d.scopes) == 0 {
		return nil
	}
	slices.Sort(d.scopes)
	if _, err := p.Compile(); err != nil {
		d.err = err
		return d
	}
	msg := &nodev1.Policy{PolicyId: p.ID.String(), OrganizationId: p.Org.String(), Name: p.Name, Otherwise: policyAction(p.Otherwise), Authentication: authentication(p)}
	for i := range p.Rules {
		r := &p.Rules[i]
		msg.Rules = append(msg.Rules, &nodev1.PolicyRule{Action: policyAction(r.Action), Match: policyConditions(&r.Conditions), Unless: policyConditions(&r.Unless)})
	}
	d.msg = msg
	return d
}

func policyName(org model.OrgID, id model.PolicyID) string {
	return resource.Name("policy", org.String(), id.String())
}

// guardedName is the name of a route or forward: with a policy it is another one than without, so that a node which does not
// know policies, and refuses what has one, does not go on with the one without.
func guardedName(kind string, s *model.Service) string {
	if !s.Policy.IsZero() {
		kind = "guarded-" + kind
	}
	return resource.Name(kind, s.Org.String(), s.ID.String())
}

func policyAction(a policy.Action) nodev1.PolicyAction {
	switch a {
	case policy.Allow:
		return nodev1.PolicyAction_POLICY_ACTION_ALLOW
	case policy.Authenticate:
		return nodev1.PolicyAction_POLICY_ACTION_AUTHENTICATE
	}
	return nodev1.PolicyAction_POLICY_ACTION_DENY
}

func policyConditions(c *policy.Conditions) *nodev1.PolicyConditions {
	if c.IsZero() {
		return nil
	}
	msg := &nodev1.PolicyConditions{Networks: c.Networks, Paths: c.Paths, Methods: c.Methods, Countries: c.Countries, AutonomousSystems: c.ASNs}
	for _, h := range c.Headers {
		msg.Headers = append(msg.Headers, &nodev1.PolicyHeader{Name: h.Name, Values: h.Values})
	}
	for _, w := range c.Windows {
		msg.Windows = append(msg.Windows, &nodev1.PolicyWindow{Days: w.Days, From: w.From, To: w.To, Zone: w.Zone})
	}
	return msg
}

func authentication(p *model.Policy) *nodev1.PolicyAuthentication {
	msg := &nodev1.PolicyAuthentication{MailAddresses: p.Mail, PinHash: p.PINHash, PasswordHash: p.PasswordHash}
	if s := &p.SignIn; !s.IsZero() {
		msg.SignIn = &nodev1.PolicySignIn{Members: s.Members, Users: s.Users, Roles: s.Roles, Groups: s.Groups}
	}
	for _, b := range p.Basic {
		msg.Basic = append(msg.Basic, &nodev1.PolicyBasic{User: b.User, PasswordHash: b.PasswordHash})
	}
	for _, l := range p.ShareLinks {
		msg.ShareLinks = append(msg.ShareLinks, &nodev1.PolicyShareLink{ShareLinkId: l.ID.String(), SecretSha256: l.Hash[:], ExpiresAt: timestamp(l.Expires), MaxUses: l.MaxUses})
	}
	for _, t := range p.ServiceTokens {
		msg.ServiceTokens = append(msg.ServiceTokens, &nodev1.PolicyServiceToken{ServiceTokenId: t.ID.String(), SecretSha256: t.Hash[:], ExpiresAt: timestamp(t.Expires)})
	}
	if c := &p.ClientCertificate; c.AuthoritiesPEM != "" {
		msg.ClientCertificate = &nodev1.PolicyClientCertificate{AuthoritiesPem: c.AuthoritiesPEM, Names: c.Names}
	}
	return msg
}

// timestamp is unset for the zero time.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
