package apply

import (
	"errors"
	"fmt"
	"net/netip"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/balance"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/l4"
)

// maxPorts is how many ports one resource may open.
const maxPorts = 1000

// forward is a service at ports of this node.
type forward struct {
	l4.Forward
	checked []string // targets with a health check
	policy  string   // resource name; "": everybody may come
	org     string   // id
}

func decodeForward(m *nodev1.Forward) (forward, error) {
	f := forward{Forward: l4.Forward{
		Service: m.GetServiceId(), FirstPort: uint16(m.GetFirstPort()), LastPort: uint16(m.GetLastPort()), ProxyProtocol: int(m.GetProxyProtocol()),
	}, policy: m.GetPolicy(), org: m.GetOrganizationId()}
	var err error
	f.Network, err = guardedProtocol(m)
	errs := []error{required("service_id", f.Service), err}
	first, last := m.GetFirstPort(), m.GetLastPort()
	switch {
	case first == 0 || first > 65535:
		errs = append(errs, fmt.Errorf("first_port: %d", first))
	case last < first || last > 65535 || last-first >= maxPorts:
		errs = append(errs, fmt.Errorf("last_port: %d, from %d on", last, first))
	}
	if m.GetProxyProtocol() > 2 || f.Network == fabric.UDP && m.GetProxyProtocol() != 0 {
		errs = append(errs, fmt.Errorf("proxy_protocol: %d", m.GetProxyProtocol()))
	}
	for i, s := range m.GetAllowedCidrs() {
		p, err := netip.ParsePrefix(s)
		if err == nil && p != p.Masked() {
			err = errors.New("not a network")
		}
		errs = append(errs, field(fmt.Sprintf("allowed_cidrs[%d]", i), err)) // never left out: it would let others in
		f.Allow = append(f.Allow, p)
	}
	for i, t := range m.GetTargets() {
		at := fmt.Sprintf("targets[%d].", i)
		errs = append(errs, required(at+"target_id", t.GetTargetId()), required(at+"site_id", t.GetSiteId()))
		f.Targets = append(f.Targets, balance.Target{ID: t.GetTargetId(), Site: t.GetSiteId(), Weight: int(t.GetWeight())})
		if t.GetHealthChecked() {
			f.checked = append(f.checked, t.GetTargetId())
		}
	}
	return f, errors.Join(errs...)
}

func network(p nodev1.TargetProtocol) (fabric.Network, error) {
	switch p {
	case nodev1.TargetProtocol_TARGET_PROTOCOL_UNSPECIFIED, nodev1.TargetProtocol_TARGET_PROTOCOL_TCP:
		return fabric.TCP, nil
	case nodev1.TargetProtocol_TARGET_PROTOCOL_UDP:
		return fabric.UDP, nil
	}
	return 0, fmt.Errorf("%v is not known here", p)
}
