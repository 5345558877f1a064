package model

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/hostname"
)

// Rules across rows. The caller, admin, reads the rows that a rule needs in the transaction that writes.

// CheckServiceDomain refuses a service that may not stand in the domain that covers its hostname: the
// one with the longest apex, of any organization; nil if there is none. A stranger's domain and none at
// all are one answer.
func CheckServiceDomain(s *Service, covering *Domain) error {
	if covering != nil && covering.Unproven && covering.Org == s.Org {
		return fault.Field("hostname", "%s is in domain %s, which is not proved to be this organization's yet: add the domain first, then warren domain check %[2]s says what proves it", s.Hostname, covering.Name)
	}
	if covering == nil || covering.Org != s.Org || !hostname.Within(strings.TrimPrefix(s.Hostname, "*."), covering.Name) {
		return fault.Field("hostname", "%s is in no domain of this organization", s.Hostname)
	}
	if covering.Pool != s.Pool {
		return fault.Field("pool", "%s is in domain %s, which is served by another pool", s.Hostname, covering.Name)
	}
	return checkGlue("hostname", s.Hostname, covering.Name)
}

// CheckSiteChange refuses to make a WireGuard site of another, or another of it: its targets are its own address,
// and theirs are not.
func CheckSiteChange(old, s *Site) error {
	if old.Kind != s.Kind && (old.Kind == WireGuardSite || s.Kind == WireGuardSite) {
		return fault.Field("kind", "a wireguard site is one from its beginning to its end: make another site")
	}
	return nil
}

// CheckSiteKind refuses to make a site local while it has connectors.
func CheckSiteKind(s *Site, connectors []*Connector) error {
	if s.Kind == LocalSite && len(connectors) > 0 {
		return fault.Field("kind", "the site has connectors, %s for one: delete them first, a local site is reached by its nodes", connectors[0].Name)
	}
	return nil
}

// CheckConnector refuses a connector at a site that is reached without.
func CheckConnector(site *Site) error {
	if site.Kind == LocalSite {
		return fault.Field("site", "%s is a local site: its nodes dial the targets themselves, it has no connectors", site.Name)
	}
	if site.Kind == WireGuardSite {
		return fault.Field("site", "%s is a wireguard site: it is a peer by itself, it has no connectors", site.Name)
	}
	return nil
}

// CheckServiceHostname refuses a hostname that another service has. others are the services of that
// hostname, in the whole cluster.
func CheckServiceHostname(s *Service, others []*Service) error {
	for _, o := range others {
		if o.ID != s.ID && o.Hostname == s.Hostname {
			return &fault.Error{Kind: fault.Conflict, Field: "hostname", Msg: s.Hostname + " is the hostname of another service"}
		}
	}
	return nil
}

// CheckServicePorts refuses ports that another service of the pool has for the same protocol. overlapping
// are the services of whatever organization of which that is so; only those of the same one are named.
func CheckServicePorts(s *Service, overlapping []*Service) error {
	for _, o := range overlapping {
		if o.ID == s.ID || o.Kind != s.Kind || o.Pool != s.Pool || !o.Ports.Overlaps(s.Ports) {
			continue
		}
		msg := fmt.Sprintf("%s of %s overlap those of another service in this pool", s.Ports, s.Kind)
		if o.Org == s.Org {
			msg = fmt.Sprintf("%s of %s overlap %s of service %s in this pool", s.Ports, s.Kind, o.Ports, o.Name)
		}
		return &fault.Error{Kind: fault.Conflict, Field: "ports", Msg: msg}
	}
	return nil
}

// CheckServiceTargets refuses path prefixes for a service whose paths no node can see, targets that have not
// enough ports above their first, and health checks of what does not answer. targets are all targets of the service.
func CheckServiceTargets(s *Service, targets []*Target) error {
	for _, t := range targets {
		if s.Kind != HTTP && t.Upstream != (Upstream{}) {
			return fault.Field("scheme", "target %s: a %s service goes to its targets as it is: scheme, server_name, authorities_pem and strip_prefix are for %s", t.Name, s.Kind, HTTP)
		}
		if t.Upstream.AuthoritiesPEM != "" && s.TargetName(t.Upstream) == "" {
			return fault.Field("server_name", "missing of target %s: its certificate is to be verified, and %s is no one name", t.Name, s.Hostname)
		}
		if s.Kind != HTTP && t.PathPrefix != "/" {
			return fault.Field("path_prefix", "%q of target %s: no node sees paths of a %s service, want \"/\"", t.PathPrefix, t.Name, s.Kind)
		}
		if s.Kind == UDP && t.HealthCheck != nil {
			return fault.Field("health_check", "of target %s: targets of udp services are not checked: a datagram socket connects to anything, so only an answer would say something", t.Name)
		}
		if last := int(t.Port) + s.Ports.Count() - 1; last > 65535 {
			return fault.Field("port", "%d of target %s: the service has %d ports, the last one would go to %d", t.Port, t.Name, s.Ports.Count(), last)
		}
	}
	return nil
}

// CheckTarget refuses a target whose service or site belongs to another organization, or that its service could
// not use. Nil rows are such that do not exist.
func CheckTarget(t *Target, service *Service, site *Site) error {
	if service == nil || service.ID != t.Service || service.Org != t.Org {
		return fault.Field("service", "no such service in this organization")
	}
	if site == nil || site.ID != t.Site || site.Org != t.Org {
		return fault.Field("site", "no such site in this organization")
	}
	if err := checkTargetAddress(t, site); err != nil {
		return err
	}
	return CheckServiceTargets(service, []*Target{t})
}

// checkTargetAddress keeps the overlay to those who are in it: the one address that a WireGuard site has.
func checkTargetAddress(t *Target, site *Site) error {
	own := OverlayAddress(site.ID)
	if site.Kind == WireGuardSite && t.Address != own.String() {
		return fault.Field("address", "a wireguard site has one address, %s: leave it out", own)
	}
	if a, err := netip.ParseAddr(t.Address); site.Kind != WireGuardSite && err == nil && Overlay.Contains(a) {
		return fault.Field("address", "%s is in %s, where Warren's own addresses are", a, Overlay)
	}
	return nil
}

// CheckDomain refuses a domain that is, is within, or contains one of another organization, that takes
// a name reserved for a node, or that would take services away from under their domain. overlapping are
// the domains within which it is or which it contains; services are those whose hostname is within it.
func CheckDomain(d *Domain, overlapping []*Domain, services []*Service) error {
	for _, o := range overlapping {
		if o.ID == d.ID || o.Unproven && o.Org != d.Org || !hostname.Within(d.Name, o.Name) && !hostname.Within(o.Name, d.Name) {
			continue
		}
		if o.Name == d.Name || o.Org != d.Org {
			return &fault.Error{Kind: fault.Conflict, Field: "name", Msg: d.Name + " overlaps another domain"}
		}
		if err := checkGlue("name", d.Name, o.Name); err != nil {
			return err
		}
		if err := checkGlue("name", o.Name, d.Name); err != nil {
			return err
		}
	}
	domains := append(without(overlapping, d.ID), d)
	for _, s := range services {
		if covered(domains, s) != d {
			continue
		}
		if err := CheckServiceDomain(s, d); err != nil {
			field := "name"
			if s.Org == d.Org && s.Pool != d.Pool {
				field = "pool"
			}
			return &fault.Error{Kind: fault.Conflict, Field: field, Msg: "service " + s.Name + ": " + err.Error()}
		}
	}
	return nil
}

// CheckDomainRemoval refuses to remove a domain, or to move it from its name, while services need it.
// services are those whose hostname is within it, remaining the domains that overlap it.
func CheckDomainRemoval(d *Domain, remaining []*Domain, services []*Service) error {
	for _, s := range services {
		if !hostname.Within(strings.TrimPrefix(s.Hostname, "*."), d.Name) {
			continue
		}
		if err := CheckServiceDomain(s, covered(without(remaining, d.ID), s)); err != nil {
			return fault.New(fault.Conflict, "domain %s is needed by service %s", d.Name, s.Name)
		}
	}
	return nil
}

// covered is the domain with the longest apex in which a service stands; in one that is only claimed there is none.
func covered(domains []*Domain, s *Service) *Domain {
	var best *Domain
	for _, d := range domains {
		if !d.Unproven && hostname.Within(strings.TrimPrefix(s.Hostname, "*."), d.Name) && (best == nil || len(d.Name) > len(best.Name)) {
			best = d
		}
	}
	return best
}

func without(domains []*Domain, id DomainID) []*Domain {
	return slices.DeleteFunc(slices.Clone(domains), func(d *Domain) bool { return d.ID == id })
}

// checkGlue refuses names directly below an apex that are reserved for its nodes.
func checkGlue(field, name, apex string) error {
	label, rest, _ := strings.Cut(name, ".")
	if rest == apex && strings.HasPrefix(label, GluePrefix) {
		return fault.Field(field, "%s: names that start with %q are reserved for nodes", name, GluePrefix)
	}
	return nil
}
