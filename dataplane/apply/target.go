package apply

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/connector"
	"github.com/warrenedge/warren/dataplane/fabric"
	"github.com/warrenedge/warren/dataplane/health"
)

// Bounds of a check, wide: the control plane has its own. What is within them neither floods a target nor
// holds anything up for good.
const (
	checkIntervalMin = 100 * time.Millisecond
	checkIntervalMax = 24 * time.Hour
	checkThreshold   = 1000
)

// decodeTargets makes what may be dialled, and those of it that are to be checked. A target that speaks UDP is
// not checked, whatever is asked: there is no connection that it could take.
func decodeTargets(list []*nodev1.ConnectorTarget) (map[string]connector.Target, []health.Target, error) {
	targets := make(map[string]connector.Target, len(list))
	var checks []health.Target
	var errs []error
	for i, t := range list {
		at := fmt.Sprintf("targets[%d].", i)
		errs = append(errs, required(at+"id", t.GetId()), required(at+"address", t.GetAddress()))
		if t.GetPort() == 0 || t.GetPort() > 65535 {
			errs = append(errs, fmt.Errorf("%sport: %d", at, t.GetPort()))
		}
		if last := t.GetPort() + max(t.GetPorts(), 1) - 1; t.GetPorts() > maxPorts || last > 65535 {
			errs = append(errs, fmt.Errorf("%sports: %d from %d on", at, t.GetPorts(), t.GetPort()))
		}
		network, err := network(t.GetProtocol())
		errs = append(errs, field(at+"protocol", err))
		target := connector.Target{Address: joinHostPort(t.GetAddress(), t.GetPort()), Network: network, Ports: int(t.GetPorts())}
		targets[t.GetId()] = target
		if t.GetHealthCheck() == nil {
			continue
		}
		check, err := decodeCheck(at+"health_check.", t.GetHealthCheck())
		errs = append(errs, err)
		if network == fabric.TCP {
			checks = append(checks, health.Target{ID: t.GetId(), Address: target.Address, Check: check})
		}
	}
	return targets, checks, errors.Join(errs...)
}

func decodeCheck(at string, m *nodev1.HealthCheck) (health.Check, error) {
	c := health.Check{
		Interval: m.GetInterval().AsDuration(), Timeout: m.GetTimeout().AsDuration(),
		Healthy: int(m.GetHealthyThreshold()), Unhealthy: int(m.GetUnhealthyThreshold()),
	}
	var errs []error
	if err := m.GetInterval().CheckValid(); err != nil || c.Interval < checkIntervalMin || c.Interval > checkIntervalMax {
		errs = append(errs, fmt.Errorf("%sinterval: %v", at, c.Interval))
	}
	if err := m.GetTimeout().CheckValid(); err != nil || c.Timeout <= 0 || c.Timeout > c.Interval {
		errs = append(errs, fmt.Errorf("%stimeout: %v, with an interval of %v", at, c.Timeout, c.Interval))
	}
	if c.Healthy < 1 || c.Healthy > checkThreshold {
		errs = append(errs, fmt.Errorf("%shealthy_threshold: %d", at, c.Healthy))
	}
	if c.Unhealthy < 1 || c.Unhealthy > checkThreshold {
		errs = append(errs, fmt.Errorf("%sunhealthy_threshold: %d", at, c.Unhealthy))
	}
	switch kind := m.GetCheck().(type) {
	case *nodev1.HealthCheck_Tcp:
	case *nodev1.HealthCheck_Http:
		h, err := decodeHTTPCheck(at+"http.", kind.Http)
		c.HTTP = h
		errs = append(errs, err)
	default:
		errs = append(errs, fmt.Errorf("%scheck: none that is known here", at))
	}
	return c, errors.Join(errs...)
}

// decodeHTTPCheck says no value of a header: it may be a password.
func decodeHTTPCheck(at string, m *nodev1.HTTPCheck) (*health.HTTP, error) {
	h := &health.HTTP{
		Method: m.GetMethod(), Path: m.GetPath(), Host: m.GetHost(), Headers: http.Header{}, BodyContains: m.GetBodyContains(), TLS: m.GetTls(),
	}
	var errs []error
	if !httpguts.ValidHeaderFieldName(h.Method) { // a token, as a method is
		errs = append(errs, fmt.Errorf("%smethod: %q", at, h.Method))
	}
	if _, err := url.ParseRequestURI(h.Path); err != nil || !strings.HasPrefix(h.Path, "/") {
		errs = append(errs, fmt.Errorf("%spath: %q", at, h.Path))
	}
	if !httpguts.ValidHostHeader(h.Host) {
		errs = append(errs, fmt.Errorf("%shost: %q", at, h.Host))
	}
	for i, f := range m.GetHeaders() {
		if !httpguts.ValidHeaderFieldName(f.GetName()) || strings.EqualFold(f.GetName(), "Host") {
			errs = append(errs, fmt.Errorf("%sheaders[%d].name: %q", at, i, f.GetName()))
		}
		if !httpguts.ValidHeaderFieldValue(f.GetValue()) {
			errs = append(errs, fmt.Errorf("%sheaders[%d].value: not that of a header", at, i))
		}
		h.Headers.Add(f.GetName(), f.GetValue())
	}
	for i, s := range m.GetExpectedStatuses() {
		if s.GetFirst() < 100 || s.GetLast() > 599 || s.GetFirst() > s.GetLast() {
			errs = append(errs, fmt.Errorf("%sexpected_statuses[%d]: %d to %d", at, i, s.GetFirst(), s.GetLast()))
		}
		h.Statuses = append(h.Statuses, health.StatusRange{First: int(s.GetFirst()), Last: int(s.GetLast())})
	}
	if len(h.Statuses) == 0 {
		errs = append(errs, fmt.Errorf("%sexpected_statuses: missing", at))
	}
	return h, errors.Join(errs...)
}
