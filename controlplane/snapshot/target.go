package snapshot

import (
	"google.golang.org/protobuf/types/known/durationpb"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
)

// connectorTarget compiles a target as whoever dials it is told. What its service does not say stays at
// its zero value.
func connectorTarget(m *model.Model, t *model.Target) *nodev1.ConnectorTarget {
	msg := &nodev1.ConnectorTarget{Id: t.ID.String(), Address: t.Address, Port: uint32(t.Port), HealthCheck: healthCheck(t.HealthCheck)}
	if s := m.Service(t.Service); s != nil && s.Raw() {
		if s.Kind == model.UDP {
			msg.Protocol = nodev1.TargetProtocol_TARGET_PROTOCOL_UDP
		}
		if n := min(s.Ports.Count(), 65536-int(t.Port)); n > 1 {
			msg.Ports = uint32(n)
		}
	}
	return msg
}

// dialled reports whether two forms of a service are the same to those who dial its targets.
func dialled(a, b *model.Service) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Kind == b.Kind && a.Ports == b.Ports
}

func healthCheck(h *model.HealthCheck) *nodev1.HealthCheck {
	if h == nil {
		return nil
	}
	msg := &nodev1.HealthCheck{
		Interval:           durationpb.New(h.Interval),
		Timeout:            durationpb.New(h.Timeout),
		HealthyThreshold:   uint32(h.HealthyThreshold),
		UnhealthyThreshold: uint32(h.UnhealthyThreshold),
	}
	if h.Kind != model.CheckHTTP {
		msg.Check = &nodev1.HealthCheck_Tcp{Tcp: &nodev1.TCPCheck{}}
		return msg
	}
	check := &nodev1.HTTPCheck{Method: h.Method, Path: h.Path, Host: h.Host, BodyContains: h.BodyContains, Tls: h.TLS}
	for _, e := range h.Headers {
		check.Headers = append(check.Headers, &nodev1.HTTPHeader{Name: e.Name, Value: e.Value})
	}
	for _, s := range h.Statuses {
		check.ExpectedStatuses = append(check.ExpectedStatuses, &nodev1.StatusRange{First: uint32(s.First), Last: uint32(s.Last)})
	}
	msg.Check = &nodev1.HealthCheck_Http{Http: check}
	return msg
}
