package admin

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
	Kind          string   `json:"kind" enum:"http,tls,tcp,udp" doc:"http: TLS ends at the node; tls: by SNI, passed through unless terminate says otherwise; tcp, udp: at ports of the nodes"`
	Hostname      string   `json:"hostname,omitempty" maxLength:"255" doc:"Of http and tls: name to publish, in a domain of the organization; may start with \"*.\""`
	Pool          string   `json:"pool" minLength:"1" doc:"Pool whose nodes serve it, by name or id"`
	Ports         string   `json:"ports,omitempty" maxLength:"11" example:"6000-6010" doc:"Of tcp and udp: a port or a range of up to 1000, that no other service of the pool has for the protocol"`
	Allow         []string `json:"allow,omitempty" maxItems:"256" doc:"Of tcp and udp: networks of clients, such as 192.0.2.0/24; everybody if absent"`
	ProxyProtocol int      `json:"proxy_protocol,omitempty" minimum:"0" maximum:"2" doc:"Of tcp and tls: version of the PROXY protocol that targets are sent; 0: none"`
	Terminate     bool     `json:"terminate,omitempty" doc:"Of tls: TLS ends at the node, what is inside goes to the target as it is"`
	Policy        string   `json:"policy,omitempty" maxLength:"64" doc:"Policy of the organization that says who may reach it, by name or id; everybody if absent"`

	Delivery    *Delivery    `json:"delivery,omitempty" doc:"Of http: how requests are changed on their way to a target, and answers on their way back"`
	Maintenance *Maintenance `json:"maintenance,omitempty" doc:"Of http: a page in place of the service"`
}

// Service is what is published.
type Service struct {
	OrgMeta
	Kind          string   `json:"kind"`
	Hostname      string   `json:"hostname,omitempty"`
	Pool          string   `json:"pool"`
	Ports         string   `json:"ports,omitempty"`
	Allow         []string `json:"allow,omitempty"`
	ProxyProtocol int      `json:"proxy_protocol,omitempty"`
	Terminate     bool     `json:"terminate,omitempty"`
	Policy        string   `json:"policy,omitempty"`

	Health      *HealthSummary `json:"health,omitempty" readOnly:"true" doc:"How the way to it is now; …/health says it of each hop"`
	Delivery    *Delivery      `json:"delivery,omitempty"`
	Maintenance *Maintenance   `json:"maintenance,omitempty"`
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
		a: a, kind: "service", inOrg: true, read: access.ServicesRead, write: access.ServicesWrite,
		byRef:  serviceByRef,
		list:   func(c *call, p store.Page) ([]*model.Service, error) { return c.tx.ListServices(c, c.org, p) },
		after:  func(v *model.Service) string { return v.Name },
		build:  buildService,
		create: createService,
		update: updateService,
		drop:   dropService,
		view: func(c *call, v *model.Service) (out Service, err error) {
			out.Kind, out.Hostname, out.Ports = string(v.Kind), v.Hostname, v.Ports.String()
			out.ProxyProtocol, out.Terminate = v.ProxyProtocol, v.Terminate
			out.Delivery, out.Maintenance = viewDelivery(v.Delivery), viewMaintenance(v.Maintenance)
			for _, p := range v.Allow {
				out.Allow = append(out.Allow, p.String())
			}
			if out.OrgMeta, err = c.orgMeta(v.ID.String(), v.Name, v.Org, v.Meta); err != nil {
				return out, err
			}
			if out.Policy, err = c.policyName(v.Policy); err != nil {
				return out, err
			}
			out.Health = c.serviceHealth(v)
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
	if err := fillService(v, s); err != nil {
		return nil, err
	}
	p, err := c.pool("pool", s.Pool)
	if err != nil {
		return nil, err
	}
	v.Pool = p.ID
	if err := v.Validate(); err != nil {
		return nil, err
	}
	if err := c.servicePolicy(v, s.Policy); err != nil {
		return nil, err
	}
	if old == nil || old.Hostname != v.Hostname {
		if err := c.unreserved("hostname", v.Hostname); err != nil {
			return nil, err
		}
	}
	apart := c.hostnameFree
	if v.Raw() {
		apart = c.portsFree
	}
	if err := apart(v); err != nil {
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
		field := "kind" // what is asked for is the kind; the path is there already
		switch fe.Field {
		case "port":
			field = "ports"
		case "server_name":
			field = "hostname"
		}
		return nil, fault.Field(field, "%s", fe.Msg)
	}
	return v, nil
}

// fillService brings what is written of a service, but for references, into its one form.
func fillService(v *model.Service, s ServiceSpec) (err error) {
	v.Kind, v.Hostname, v.Ports, v.Allow = model.ServiceKind(s.Kind), "", model.Ports{}, nil
	v.ProxyProtocol, v.Terminate = s.ProxyProtocol, s.Terminate
	if v.Delivery, err = buildDelivery(s.Delivery); err != nil {
		return err
	}
	if v.Maintenance, err = buildMaintenance(s.Maintenance); err != nil {
		return err
	}
	if s.Hostname != "" {
		if v.Hostname, err = hostname.CanonicalPattern(s.Hostname); err != nil {
			return fault.Field("hostname", "%v", err)
		}
	}
	if s.Ports != "" {
		if v.Ports, err = model.ParsePorts(s.Ports); err != nil {
			return fault.Field("ports", "%v", err)
		}
	}
	v.Allow, err = networks(s.Allow)
	return err
}

// networks brings the networks of a field "allow" into their one form.
func networks(texts []string) (out []netip.Prefix, err error) {
	for i, text := range texts {
		p, err := parseNetwork(text)
		if err != nil {
			return nil, fault.Field("allow["+itoa(i)+"]", "%v", err)
		}
		out = append(out, p)
	}
	slices.SortFunc(out, model.ComparePrefix)
	return slices.Compact(out), nil
}

// parseNetwork reads a network, or one address as the network of it alone.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is no network: want one such as 192.0.2.0/24 or 2001:db8::/32", s)
	}
	if p != p.Masked() {
		return p, fmt.Errorf("%s is an address in %s: want the network", p, p.Masked())
	}
	return p, nil
}

// hostnameFree refuses a hostname that is in no domain of the organization, or taken.
func (c *call) hostnameFree(v *model.Service) error {
	covering, err := c.covering(v.Hostname)
	if err != nil {
		return err
	}
	if err := model.CheckServiceDomain(v, covering); err != nil {
		return err
	}
	other, err := c.tx.GetServiceByHostname(c, v.Hostname)
	switch {
	case err == nil:
		return model.CheckServiceHostname(v, []*model.Service{other})
	case fault.Of(err) == fault.NotFound:
		return nil
	}
	return err
}

// portsFree refuses ports that are taken.
func (c *call) portsFree(v *model.Service) error {
	others, err := c.tx.ListServicesAtPorts(c, v.Pool, v.Kind, v.Ports)
	if err != nil {
		return err
	}
	return model.CheckServicePorts(v, others)
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
	if old.Hostname != v.Hostname || !v.EndsTLS() {
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
	if of.Hostname == "" {
		return nil
	}
	if other, err := c.tx.GetServiceByHostname(c, of.Hostname); err == nil && other.EndsTLS() {
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
