package apply

import (
	"errors"
	"fmt"
	"net/netip"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
)

// maxPorts is how many ports one resource may open.
const maxPorts = 1000

// forward is a service at ports of this node.
type forward struct {
	service     string
	udp         bool
	first, last uint16         // port p goes to the target's port + (p - first)
	allow       []netip.Prefix // of clients; empty: everybody
	proxy       int            // version of the PROXY protocol towards the target; 0: none
	targets     []forwardTarget
	checked     []string // targets with a health check
}

type forwardTarget struct {
	id, site string
	weight   int
}

func decodeForward(m *nodev1.Forward) (forward, error) {
	f := forward{service: m.GetServiceId(), first: uint16(m.GetFirstPort()), last: uint16(m.GetLastPort()), proxy: int(m.GetProxyProtocol())}
	errs := []error{required("service_id", f.service)}
	switch m.GetProtocol() {
	case nodev1.TargetProtocol_TARGET_PROTOCOL_UNSPECIFIED, nodev1.TargetProtocol_TARGET_PROTOCOL_TCP:
	case nodev1.TargetProtocol_TARGET_PROTOCOL_UDP:
		f.udp = true
	default:
		errs = append(errs, fmt.Errorf("protocol: %v is not known here", m.GetProtocol()))
	}
	first, last := m.GetFirstPort(), m.GetLastPort()
	switch {
	case first == 0 || first > 65535:
		errs = append(errs, fmt.Errorf("first_port: %d", first))
	case last < first || last > 65535 || last-first >= maxPorts:
		errs = append(errs, fmt.Errorf("last_port: %d, from %d on", last, first))
	}
	if m.GetProxyProtocol() > 2 || f.udp && f.proxy != 0 {
		errs = append(errs, fmt.Errorf("proxy_protocol: %d", m.GetProxyProtocol()))
	}
	for i, s := range m.GetAllowedCidrs() {
		p, err := netip.ParsePrefix(s)
		if err == nil && p != p.Masked() {
			err = errors.New("not a network")
		}
		errs = append(errs, field(fmt.Sprintf("allowed_cidrs[%d]", i), err)) // never left out: it would let others in
		f.allow = append(f.allow, p)
	}
	for i, t := range m.GetTargets() {
		at := fmt.Sprintf("targets[%d].", i)
		errs = append(errs, required(at+"target_id", t.GetTargetId()), required(at+"site_id", t.GetSiteId()))
		f.targets = append(f.targets, forwardTarget{t.GetTargetId(), t.GetSiteId(), int(t.GetWeight())})
		if t.GetHealthChecked() {
			f.checked = append(f.checked, t.GetTargetId())
		}
	}
	return f, errors.Join(errs...)
}
