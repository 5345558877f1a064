package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/hostname"
)

func notHere(kind string) error { return fault.New(fault.NotFound, "no such %s", kind) }

// ServiceSpec is what is written of a service.
type ServiceSpec struct {
	Kind     string `json:"kind" enum:"http,tls" doc:"http: TLS ends at the node; tls: passed through by SNI, never decrypted"`
	Hostname string `json:"hostname" minLength:"1" maxLength:"255" doc:"Name to publish, in a domain of the organization; may start with \"*.\""`
	Pool     string `json:"pool" minLength:"1" doc:"Pool whose nodes serve it, by name or id"`
}

// Service is what is published.
type Service struct {
	OrgMeta
	Kind     string `json:"kind"`
	Hostname string `json:"hostname"`
	Pool     string `json:"pool"`
}

func serviceByRef(c *call, ref string) (*model.Service, error) {
	if id, err := (model.ServiceID{}).Parse(ref); err == nil {
		s, err := c.tx.GetService(c, id)
		if err == nil && s.Org != c.org {
			return nil, notHere("service")
		}
		return s, err
	}
	return c.tx.GetServiceByName(c, c.org, ref)
}

func services(a *Admin) *Collection[model.Service, ServiceSpec, Service] {
	return &Collection[model.Service, ServiceSpec, Service]{
		a: a, kind: "service", inOrg: true, read: access.OrgRead, write: access.OrgWrite,
		byRef:  serviceByRef,
		list:   func(c *call, p store.Page) ([]*model.Service, error) { return c.tx.ListServices(c, c.org, p) },
		after:  func(v *model.Service) string { return v.Name },
		build:  buildService,
		create: createService,
		update: updateService,
		drop:   dropService,
		view: func(c *call, v *model.Service) (out Service, err error) {
			out.Kind, out.Hostname = string(v.Kind), v.Hostname
			if out.OrgMeta, err = c.orgMeta(v.ID.String(), v.Name, v.Org, v.Meta); err != nil {
				return out, err
			}
			out.Pool, err = c.poolName(v.Pool)
			return out, err
		},
	}
}

func buildService(c *call, old *model.Service, name string, s ServiceSpec) (*model.Service, error) {
	v := &model.Service{ID: model.ServiceID{}.New(), Org: c.org, Name: name}
	if old != nil {
		*v = *old
	}
	host, err := hostname.CanonicalPattern(s.Hostname)
	if err != nil {
		return nil, fault.Field("hostname", "%v", err)
	}
	p, err := c.pool("pool", s.Pool)
	if err != nil {
		return nil, err
	}
	v.Kind, v.Hostname, v.Pool = model.ServiceKind(s.Kind), host, p.ID
	if err := v.Validate(); err != nil {
		return nil, err
	}
	covering, err := c.covering(host)
	if err != nil {
		return nil, err
	}
	if err := model.CheckServiceDomain(v, covering); err != nil {
		return nil, err
	}
	if other, err := c.tx.GetServiceByHostname(c, host); err == nil {
		if err := model.CheckServiceHostname(v, []*model.Service{other}); err != nil {
			return nil, err
		}
	} else if fault.Of(err) != fault.NotFound {
		return nil, err
	}
	if old == nil {
		return v, nil
	}
	targets, err := c.tx.ListTargetsOfService(c, v.ID)
	if err != nil {
		return nil, err
	}
	if fe, ok := errors.AsType[*fault.Error](model.CheckServiceTargets(v, targets)); ok {
		return nil, fault.Field("kind", "%s", fe.Msg) // what is asked for is the kind; the path is there already
	}
	return v, nil
}

// covering is the domain with the longest apex that a hostname stands in; nil if there is none.
func (c *call) covering(host string) (*model.Domain, error) {
	name := host
	if hostname.IsWildcard(host) {
		name = host[2:]
	}
	// Read, held, then read again: what was deleted or came closer in between is seen.
	for held := (model.DomainID{}); ; {
		ds, err := c.tx.ListDomainsCovering(c, name)
		if err != nil || len(ds) == 0 {
			return nil, err
		}
		if ds[0].ID == held {
			return ds[0], nil
		}
		held = ds[0].ID
		if err := c.tx.ShareDomain(c, held); err != nil {
			return nil, err
		}
	}
}

// createService writes a service and, in the same revision, the certificate that its route needs.
func createService(c *call, v *model.Service) error {
	if err := c.tx.CreateService(c, v); err != nil {
		return err
	}
	return c.a.issuer.Ensure(c, c.tx, v, time.Now())
}

func updateService(c *call, v *model.Service) (bool, error) {
	old, err := c.tx.GetService(c, v.ID)
	if err != nil {
		return false, err
	}
	changed, err := c.tx.UpdateService(c, v)
	if err != nil || !changed {
		return changed, err
	}
	if err := c.a.issuer.Ensure(c, c.tx, v, time.Now()); err != nil {
		return true, err
	}
	if old.Hostname != v.Hostname || v.Kind != model.HTTP {
		return true, c.dropCertificates(old)
	}
	return true, nil
}

func dropService(c *call, v *model.Service) error {
	if err := c.tx.DeleteService(c, v.ID); err != nil { // its targets go along
		return err
	}
	return c.dropCertificates(v)
}

// dropCertificates removes the certificates of exactly a hostname that nobody has any more; hostnames are
// unique in the cluster.
func (c *call) dropCertificates(of *model.Service) error {
	if other, err := c.tx.GetServiceByHostname(c, of.Hostname); err == nil && other.Kind == model.HTTP {
		return nil
	} else if err != nil && fault.Of(err) != fault.NotFound {
		return err
	}
	have, err := c.tx.ListCertificatesNamed(c, of.Org, of.Hostname)
	if err != nil {
		return err
	}
	for _, cert := range have {
		if len(cert.Names) > 1 {
			continue
		}
		if err := c.tx.DeleteCertificate(c, cert.ID); err != nil {
			return err
		}
	}
	return nil
}

// TargetSpec is what is written of a target.
type TargetSpec struct {
	Service    string `json:"service" minLength:"1" doc:"Service that the target stands behind, by name or id"`
	Site       string `json:"site" minLength:"1" doc:"Site that reaches the target, by name or id"`
	Address    string `json:"address" minLength:"1" maxLength:"255" doc:"Address or name, as seen in the site"`
	Port       int    `json:"port" minimum:"1" maximum:"65535"`
	PathPrefix string `json:"path_prefix,omitempty" maxLength:"1024" doc:"Of http services: requests below this path go here; \"/\" if absent"`
	Weight     int    `json:"weight,omitempty" minimum:"1" maximum:"1000" doc:"Share of the requests among targets of the same path; 100 if absent"`
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
}

// DefaultWeight is the weight of a target that says none.
const DefaultWeight = 100

func targets(a *Admin) *Collection[model.Target, TargetSpec, Target] {
	return &Collection[model.Target, TargetSpec, Target]{
		a: a, kind: "target", inOrg: true, read: access.OrgRead, write: access.OrgWrite,
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
	if v.Address, err = model.CanonicalAddress(s.Address); err != nil {
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
	if err := v.Validate(); err != nil {
		return nil, err
	}
	return v, model.CheckTarget(v, svc, site)
}

// DomainSpec is what is written of a domain.
type DomainSpec struct {
	Pool string `json:"pool" minLength:"1" doc:"Pool whose nodes answer for the domain, by name or id"`
}

// Domain is a DNS zone that is delegated to the nodes of a pool; its name is the apex.
type Domain struct {
	OrgMeta
	Pool string `json:"pool"`
}

func domains(a *Admin) *Collection[model.Domain, DomainSpec, Domain] {
	return &Collection[model.Domain, DomainSpec, Domain]{
		a: a, kind: "domain", inOrg: true, read: access.OrgRead, write: access.OrgWrite,
		byRef:  domainByRef,
		list:   func(c *call, p store.Page) ([]*model.Domain, error) { return c.tx.ListDomains(c, c.org, p) },
		after:  func(v *model.Domain) string { return v.Name },
		build:  buildDomain,
		create: func(c *call, v *model.Domain) error { return c.tx.CreateDomain(c, v) },
		update: func(c *call, v *model.Domain) (bool, error) { return c.tx.UpdateDomain(c, v) },
		drop: func(c *call, v *model.Domain) error {
			if err := c.tx.LockDomain(c, v.ID); err != nil {
				return err
			}
			overlapping, services, err := c.around(v.Name)
			if err != nil {
				return err
			}
			if err := model.CheckDomainRemoval(v, overlapping, services); err != nil {
				return err
			}
			return c.tx.DeleteDomain(c, v.ID)
		},
		view: func(c *call, v *model.Domain) (out Domain, err error) {
			if out.OrgMeta, err = c.orgMeta(v.ID.String(), v.Name, v.Org, v.Meta); err != nil {
				return out, err
			}
			out.Pool, err = c.poolName(v.Pool)
			return out, err
		},
	}
}

func domainByRef(c *call, ref string) (*model.Domain, error) {
	if id, err := (model.DomainID{}).Parse(ref); err == nil {
		v, err := c.tx.GetDomain(c, id)
		if err == nil && v.Org != c.org {
			return nil, notHere("domain")
		}
		return v, err
	}
	name, err := hostname.Canonical(ref)
	if err != nil {
		return nil, notHere("domain")
	}
	return c.tx.GetDomainByName(c, c.org, name)
}

// around is what a rule about an apex needs to see.
func (c *call) around(apex string) ([]*model.Domain, []*model.Service, error) {
	overlapping, err := c.tx.ListDomainsOverlapping(c, apex)
	if err != nil {
		return nil, nil, err
	}
	services, err := c.tx.ListServicesWithin(c, apex)
	return overlapping, services, err
}

func buildDomain(c *call, old *model.Domain, name string, s DomainSpec) (*model.Domain, error) {
	v := &model.Domain{ID: model.DomainID{}.New(), Org: c.org}
	if old != nil {
		*v = *old
		name = old.Name // it may have been found by its id
	}
	apex, err := hostname.Canonical(name)
	if err != nil {
		return nil, fault.Field("name", "%v", err)
	}
	p, err := c.pool("pool", s.Pool)
	if err != nil {
		return nil, err
	}
	v.Name, v.Pool = apex, p.ID
	if err := v.Validate(); err != nil {
		return nil, err
	}
	if old != nil {
		if err := c.tx.LockDomain(c, v.ID); err != nil {
			return nil, err
		}
	}
	overlapping, services, err := c.around(apex)
	if err != nil {
		return nil, err
	}
	return v, model.CheckDomain(v, overlapping, services)
}

// Certificate is a TLS certificate; its private key is never shown.
type Certificate struct {
	ID                string    `json:"id"`
	Organization      string    `json:"organization"`
	Names             []string  `json:"names"`
	NotBefore         time.Time `json:"not_before"`
	NotAfter          time.Time `json:"not_after"`
	FingerprintSHA256 string    `json:"fingerprint_sha256" doc:"Of the leaf; empty when the chain can't be read"`
	CreatedAt         time.Time `json:"created_at"`
	UpdatedAt         time.Time `json:"updated_at"`
}

func certificates(a *Admin) *Collection[model.Certificate, struct{}, Certificate] {
	return &Collection[model.Certificate, struct{}, Certificate]{
		a: a, kind: "certificate", inOrg: true, read: access.OrgRead, write: access.OrgWrite,
		byRef: func(c *call, ref string) (*model.Certificate, error) {
			id, err := model.CertificateID{}.Parse(ref)
			if err != nil {
				return nil, notHere("certificate")
			}
			v, err := c.tx.GetCertificate(c, id)
			if err == nil && v.Org != c.org {
				return nil, notHere("certificate")
			}
			return v, err
		},
		list:  func(c *call, p store.Page) ([]*model.Certificate, error) { return c.tx.ListCertificates(c, c.org, p) },
		after: func(v *model.Certificate) string { return v.ID.UUID.String() },
		drop: func(c *call, v *model.Certificate) error {
			for _, name := range v.Names {
				s, err := c.tx.GetServiceByHostname(c, name)
				if err == nil && s.Org == v.Org && s.Kind == model.HTTP {
					return fault.New(fault.Conflict, "needed by service %s", s.Name)
				}
			}
			return c.tx.DeleteCertificate(c, v.ID)
		},
		view: func(c *call, v *model.Certificate) (out Certificate, err error) {
			out = Certificate{ID: v.ID.String(), Names: v.Names, NotBefore: v.NotBefore.UTC(), NotAfter: v.NotAfter.UTC(), CreatedAt: v.Created.UTC(), UpdatedAt: v.Updated.UTC()}
			if b, _ := pem.Decode(v.ChainPEM); b != nil {
				sum := sha256.Sum256(b.Bytes)
				out.FingerprintSHA256 = hex.EncodeToString(sum[:])
			}
			out.Organization, err = c.orgName(v.Org)
			return out, err
		},
	}
}
