package apply

import (
	"errors"
	"fmt"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/shared/policy"
	"github.com/warrenedge/warren/shared/resource"
)

// decodePolicy compiles a policy: what a request asks, later, is nothing but that.
func decodePolicy(body []byte) (*policy.Compiled, error) {
	room := ruleRoom.Get().(*rules)
	defer ruleRoom.Put(room)
	m, err := policyMessage(body, room)
	if errors.Is(err, errWire) {
		return nil, errors.New("not a Policy message")
	}
	if err != nil {
		return nil, err
	}
	p := policy.Policy{ID: m.GetPolicyId(), Org: m.GetOrganizationId(), Name: m.GetName(), Rules: room.all}
	if err := errors.Join(required("policy_id", p.ID), required("organization_id", p.Org)); err != nil {
		return nil, err
	}
	if p.Otherwise, err = action(m.GetOtherwise()); err != nil {
		return nil, field("otherwise", err)
	}
	if p.Auth, err = decodeAuth(m.GetAuthentication()); err != nil {
		return nil, err
	}
	return policy.Compile(&p)
}

func action(a nodev1.PolicyAction) (policy.Action, error) {
	switch a {
	case nodev1.PolicyAction_POLICY_ACTION_DENY:
		return policy.Deny, nil
	case nodev1.PolicyAction_POLICY_ACTION_AUTHENTICATE:
		return policy.Authenticate, nil
	case nodev1.PolicyAction_POLICY_ACTION_ALLOW:
		return policy.Allow, nil
	}
	return policy.Deny, fmt.Errorf("%v is not known here", a)
}

func decodeAuth(m *nodev1.PolicyAuthentication) (policy.Auth, error) {
	in := m.GetSignIn()
	a := policy.Auth{
		SignIn: policy.SignIn{Members: in.GetMembers(), Users: in.GetUsers(), Roles: in.GetRoles(), Groups: in.GetGroups()},
		Mail:   m.GetMailAddresses(), PINHash: m.GetPinHash(), PasswordHash: m.GetPasswordHash(),
		ClientCertificate: policy.ClientCertificate{AuthoritiesPEM: m.GetClientCertificate().GetAuthoritiesPem(), Names: m.GetClientCertificate().GetNames()},
	}
	for _, b := range m.GetBasic() {
		a.Basic = append(a.Basic, policy.Basic{User: b.GetUser(), PasswordHash: b.GetPasswordHash()})
	}
	for i, l := range m.GetShareLinks() {
		if len(l.GetSecretSha256()) != 32 {
			return a, fmt.Errorf("authentication.share_links[%d].secret_sha256: %d bytes, want 32", i, len(l.GetSecretSha256()))
		}
		s := policy.Secret{ID: l.GetShareLinkId(), SHA256: [32]byte(l.GetSecretSha256()), MaxUses: l.GetMaxUses()}
		if l.GetExpiresAt() != nil {
			s.Expires = l.GetExpiresAt().AsTime()
		}
		a.ShareLinks = append(a.ShareLinks, s)
	}
	for i, t := range m.GetServiceTokens() {
		if len(t.GetSecretSha256()) != 32 {
			return a, fmt.Errorf("authentication.service_tokens[%d].secret_sha256: %d bytes, want 32", i, len(t.GetSecretSha256()))
		}
		s := policy.Secret{ID: t.GetServiceTokenId(), SHA256: [32]byte(t.GetSecretSha256())}
		if t.GetExpiresAt() != nil {
			s.Expires = t.GetExpiresAt().AsTime()
		}
		a.ServiceTokens = append(a.ServiceTokens, s)
	}
	return a, nil
}

// guardedMode is what a route with a policy is beside that.
func guardedMode(m *nodev1.Route) (nodev1.RouteMode, error) {
	if m.GetMode() != nodev1.RouteMode_ROUTE_MODE_GUARDED {
		if m.GetPolicy() != "" {
			return m.GetMode(), errors.New("policy: of a route that is not guarded")
		}
		return m.GetMode(), nil
	}
	return m.GetGuardedMode(), required("policy", m.GetPolicy())
}

// guardedProtocol is what a forward with a policy is beside that.
func guardedProtocol(m *nodev1.Forward) (fabric.Network, error) {
	p := m.GetProtocol()
	if p == nodev1.TargetProtocol_TARGET_PROTOCOL_GUARDED {
		if err := required("policy", m.GetPolicy()); err != nil {
			return 0, err
		}
		n, err := network(m.GetGuardedProtocol())
		return n, field("guarded_protocol", err)
	}
	if m.GetPolicy() != "" {
		return 0, errors.New("policy: of a forward that is not guarded")
	}
	n, err := network(p)
	return n, field("protocol", err)
}

// decides is the policy of that name; nil if it is not here.
func decides(l *ledger, name string) *policy.Compiled {
	p, _ := l.good[resource.Policy][name].value.(*policy.Compiled)
	return p
}

// unguarded says which routes and forwards name a policy that is not here. They admit nobody until it is.
func unguarded(l *ledger, routes map[string]route) (missing []*nodev1.Rejection) {
	say := func(typeURL, name, version, policy string) {
		missing = append(missing, &nodev1.Rejection{TypeUrl: typeURL, Name: name, Version: version, Reason: fmt.Sprintf("policy: %s is not here: nobody is let in", policy)})
	}
	for name, r := range routes {
		if r.policy != "" && decides(l, r.policy) == nil {
			say(resource.Route, name, l.good[resource.Route][name].raw.Version, r.policy)
		}
	}
	for name, it := range l.good[resource.Forward] {
		if f := it.value.(forward); f.policy != "" && decides(l, f.policy) == nil {
			say(resource.Forward, name, it.raw.Version, f.policy)
		}
	}
	return missing
}

// poolSize is how many nodes share a pool with this one.
func poolSize(l *ledger, me self) (n int) {
	for _, o := range values[node](l, resource.Node) {
		if o.pool == me.pool {
			n++
		}
	}
	return n
}
