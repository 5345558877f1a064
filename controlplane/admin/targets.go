package admin

import (
	"net/netip"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// TargetSpec is what is written of a target.
type TargetSpec struct {
	Service    string `json:"service" minLength:"1" doc:"Service that the target stands behind, by name or id"`
	Site       string `json:"site" minLength:"1" doc:"Site that reaches the target, by name or id"`
	Address    string `json:"address,omitempty" maxLength:"255" doc:"Address or name, as seen in the site; absent for a wireguard site, which is one address"`
	Port       int    `json:"port" minimum:"1" maximum:"65535" doc:"Of a service with several ports: where the first one goes; each other goes as far above"`
	PathPrefix string `json:"path_prefix,omitempty" maxLength:"1024" doc:"Of http services: requests below this path go here; \"/\" if absent"`
	Weight     int    `json:"weight,omitempty" minimum:"1" maximum:"1000" doc:"Share of the requests among targets of the same path; 100 if absent"`

	Scheme         string `json:"scheme,omitempty" enum:"http,https,h2c" doc:"Of http services: how the target is spoken to; h2c is HTTP/2 without TLS; http if absent"`
	ServerName     string `json:"server_name,omitempty" maxLength:"255" doc:"Of https: that the handshake asks for; if absent the host that the target is told"`
	AuthoritiesPEM string `json:"authorities_pem,omitempty" maxLength:"65536" doc:"Of https: who may have signed the target's certificate, in PEM; absent: it is not verified"`
	StripPrefix    bool   `json:"strip_prefix,omitempty" doc:"Of http services: the target is sent paths without path_prefix"`

	HealthCheck *HealthCheck `json:"health_check,omitempty" doc:"How the site's connectors, or the nodes of a local or wireguard site, find out whether the target can serve; absent: it counts as healthy. Not of udp services"`
}

// Target is one address behind a service.
type Target struct {
	OrgMeta
	Service    string `json:"service"`
	Site       string `json:"site"`
	Address    string `json:"address"`
	Port       int    `json:"port"`
	PathPrefix string `json:"path_prefix"`
	Weight     int    `json:"weight"`

	Scheme         string `json:"scheme"`
	ServerName     string `json:"server_name,omitempty"`
	AuthoritiesPEM string `json:"authorities_pem,omitempty"`
	StripPrefix    bool   `json:"strip_prefix,omitempty"`

	HealthCheck *HealthCheck  `json:"health_check,omitempty"`
	Health      *TargetHealth `json:"health,omitempty" readOnly:"true" doc:"What the checks say now; absent without a check"`
}

// TargetHealth is what checks say of a target.
type TargetHealth struct {
	State  string `json:"state" enum:"healthy,unhealthy,unknown"`
	Reason string `json:"reason,omitempty" doc:"Of the last failure"`
}

// Health knows how targets are now.
type Health interface {
	TargetHealth(t *model.Target) TargetHealth
}

// DefaultWeight is the weight of a target that says none.
const DefaultWeight = 100

func targets(a *Admin) *Collection[model.Target, TargetSpec, Target] {
	return &Collection[model.Target, TargetSpec, Target]{
		a: a, kind: "target", inOrg: true, read: access.TargetsRead, write: access.TargetsWrite,
		byRef: func(c *call, ref string) (*model.Target, error) {
			if id, err := (model.TargetID{}).Parse(ref); err == nil {
				v, err := c.tx.GetTarget(c, id)
				if err == nil && v.Org != c.org {
					return nil, notHere("target")
				}
				return v, err
			}
			return c.tx.GetTargetByName(c, c.org, ref)
		},
		list:   func(c *call, p store.Page) ([]*model.Target, error) { return c.tx.ListTargets(c, c.org, p) },
		after:  func(v *model.Target) string { return v.Name },
		build:  buildTarget,
		create: func(c *call, v *model.Target) error { return c.tx.CreateTarget(c, v) },
		update: func(c *call, v *model.Target) (bool, error) { return c.tx.UpdateTarget(c, v) },
		drop:   func(c *call, v *model.Target) error { return c.tx.DeleteTarget(c, v.ID) },
		view: func(c *call, v *model.Target) (out Target, err error) {
			out.Address, out.Port, out.PathPrefix, out.Weight = v.Address, int(v.Port), v.PathPrefix, int(v.Weight)
			out.Scheme, out.ServerName, out.AuthoritiesPEM, out.StripPrefix = viewScheme(v.Upstream), v.Upstream.ServerName, v.Upstream.AuthoritiesPEM, v.Upstream.StripPrefix
			if v.HealthCheck != nil {
				out.HealthCheck = viewCheck(v.HealthCheck)
				if a.Health != nil {
					h := a.Health.TargetHealth(v)
					out.Health = &h
				}
			}
			if out.OrgMeta, err = c.orgMeta(v.ID.String(), v.Name, v.Org, v.Meta); err != nil {
				return out, err
			}
			if out.Site, err = c.siteName(v.Site); err != nil {
				return out, err
			}
			out.Service, err = c.name(v.Service.String(), func() (string, error) {
				s, err := c.tx.GetService(c, v.Service)
				if err != nil {
					return "", err
				}
				return s.Name, nil
			})
			return out, err
		},
	}
}

func buildTarget(c *call, old *model.Target, name string, s TargetSpec) (*model.Target, error) {
	v := &model.Target{ID: model.TargetID{}.New(), Org: c.org, Name: name}
	if old != nil {
		*v = *old
	}
	svc, err := c.service("service", s.Service)
	if err != nil {
		return nil, err
	}
	site, err := c.site("site", s.Site)
	if err != nil {
		return nil, err
	}
	if v.Address, err = targetAddress(site, s.Address); err != nil {
		if fe, ok := err.(*fault.Error); ok { //nolint:errorlint // wrapped once, by us
			return nil, fe
		}
		return nil, fault.Field("address", "%v", err)
	}
	if s.Port < 1 || s.Port > 65535 {
		return nil, fault.Field("port", "%d, want 1 to 65535", s.Port)
	}
	if v.PathPrefix = s.PathPrefix; v.PathPrefix == "" {
		v.PathPrefix = "/"
	}
	weight := s.Weight
	if weight == 0 {
		weight = DefaultWeight
	}
	if weight < 1 || weight > 1000 {
		return nil, fault.Field("weight", "%d, want 1 to 1000", weight)
	}
	v.Service, v.Site, v.Port, v.Weight = svc.ID, site.ID, uint16(s.Port), uint16(weight)
	if v.Upstream, err = buildUpstream(s); err != nil {
		return nil, err
	}
	if v.HealthCheck, err = buildCheck(s.HealthCheck); err != nil {
		return nil, err
	}
	if err := v.Validate(); err != nil {
		return nil, err
	}
	return v, model.CheckTarget(v, svc, site)
}

// targetAddress is the one spelling of a target's address. A WireGuard site has one, which need not be said.
func targetAddress(site *model.Site, said string) (string, error) {
	own := model.OverlayAddress(site.ID).String()
	if a, err := netip.ParseAddr(said); site.Kind == model.WireGuardSite && (said == "" || err == nil && a.String() == own) {
		return own, nil
	}
	if said == "" {
		return "", fault.Field("address", "missing")
	}
	return model.CanonicalAddress(said)
}
