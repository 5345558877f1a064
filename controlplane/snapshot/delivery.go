package snapshot

import (
	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/controlplane/model"
)

func delivery(d *model.Delivery) *nodev1.Delivery {
	if d == nil {
		return nil
	}
	return &nodev1.Delivery{Host: d.Host, Request: headerFields(d.Request), Response: headerFields(d.Response)}
}

func headerFields(f model.Fields) *nodev1.HeaderFields {
	out := &nodev1.HeaderFields{Remove: f.Remove}
	for _, s := range f.Set {
		out.Set = append(out.Set, &nodev1.HeaderField{Name: s.Name, Value: s.Value})
	}
	return out
}

func maintenance(m *model.Maintenance) *nodev1.Maintenance {
	if m == nil {
		return nil
	}
	return &nodev1.Maintenance{Always: m.Always, Title: m.Title, Message: m.Message}
}

// upstream says how a target of an HTTP service is spoken to. A handshake asks for what the target is told as host.
func upstream(msg *nodev1.RouteTarget, s *model.Service, u model.Upstream) {
	msg.StripPrefix = u.StripPrefix
	switch u.Scheme {
	case model.SchemeHTTPS:
		msg.Scheme, msg.AuthoritiesPem = nodev1.TargetScheme_TARGET_SCHEME_HTTPS, u.AuthoritiesPEM
		msg.ServerName = s.TargetName(u)
	case model.SchemeH2C:
		msg.Scheme = nodev1.TargetScheme_TARGET_SCHEME_H2C
	}
}
