package snapshot

import (
	"fmt"

	"github.com/google/uuid"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
)

// forward compiles a service at ports. One without targets keeps its ports, and refuses who comes.
func forward(_ *Compiler, m *model.Model, id uuid.UUID) *draft {
	s := m.Service(model.ServiceID{UUID: id})
	if s == nil || !s.Raw() {
		return nil
	}
	d := &draft{name: guardedName("forward", s), scopes: []string{poolScope(s.Pool)}}
	msg := &nodev1.Forward{
		ServiceId:      s.ID.String(),
		OrganizationId: s.Org.String(),
		ServiceName:    s.Name,
		Protocol:       nodev1.TargetProtocol_TARGET_PROTOCOL_TCP,
		FirstPort:      uint32(s.Ports.First),
		LastPort:       uint32(s.Ports.Last),
		ProxyProtocol:  uint32(s.ProxyProtocol),
	}
	if s.Kind == model.UDP {
		msg.Protocol = nodev1.TargetProtocol_TARGET_PROTOCOL_UDP
	}
	for _, p := range s.Allow {
		msg.AllowedCidrs = append(msg.AllowedCidrs, p.String())
	}
	for t := range m.TargetsOf(s.ID) {
		if last := int(t.Port) + s.Ports.Count() - 1; last > 65535 {
			d.err = fmt.Errorf("target %s: the last of %d ports would go to %d", t.Name, s.Ports.Count(), last)
		}
		msg.Targets = append(msg.Targets, routeTarget(t))
	}
	if !s.Policy.IsZero() {
		msg.Policy, msg.GuardedProtocol, msg.Protocol = policyName(s.Org, s.Policy), msg.Protocol, nodev1.TargetProtocol_TARGET_PROTOCOL_GUARDED
		if msg.GuardedProtocol == nodev1.TargetProtocol_TARGET_PROTOCOL_UNSPECIFIED {
			msg.GuardedProtocol = nodev1.TargetProtocol_TARGET_PROTOCOL_TCP
		}
	}
	d.msg = msg
	return d
}

func routeTarget(t *model.Target) *nodev1.RouteTarget {
	return &nodev1.RouteTarget{TargetId: t.ID.String(), SiteId: t.Site.String(), Weight: uint32(t.Weight), HealthChecked: t.HealthCheck != nil}
}
