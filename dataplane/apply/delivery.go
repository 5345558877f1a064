package apply

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/net/http/httpguts"

	nodev1 "github.com/warrenedge/warren/api/node/v1"
	"github.com/warrenedge/warren/dataplane/httpproxy"
	"github.com/warrenedge/warren/dataplane/sni"
)

// decodeUpstream reads how a target of a route is spoken to.
func (r *route) decodeUpstream(at string, m *nodev1.RouteTarget) error {
	u := httpproxy.Upstream{ServerName: m.GetServerName(), Authorities: m.GetAuthoritiesPem(), StripPrefix: m.GetStripPrefix()}
	switch m.GetScheme() {
	case nodev1.TargetScheme_TARGET_SCHEME_UNSPECIFIED, nodev1.TargetScheme_TARGET_SCHEME_HTTP:
	case nodev1.TargetScheme_TARGET_SCHEME_HTTPS:
		u.Scheme = httpproxy.SchemeHTTPS
	case nodev1.TargetScheme_TARGET_SCHEME_H2C:
		u.Scheme = httpproxy.SchemeH2C
	default:
		return fmt.Errorf("%sscheme: %v is not known here", at, m.GetScheme())
	}
	if u == (httpproxy.Upstream{}) {
		return nil
	}
	if r.mode != sni.HTTP {
		return fmt.Errorf("%sscheme: of HTTP routes only", at)
	}
	if u.Authorities != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(u.Authorities)) {
		return fmt.Errorf("%sauthorities_pem: no certificate in it", at)
	}
	if r.upstreams == nil {
		r.upstreams = map[string]httpproxy.Upstream{}
	}
	r.upstreams[m.GetTargetId()] = u
	return nil
}

// decodeDelivery reads how requests are changed on the way, and what stands for the service meanwhile.
func (r *route) decodeDelivery(m *nodev1.Route) error {
	if m.GetDelivery() == nil && m.GetMaintenance() == nil {
		return nil
	}
	if r.mode != sni.HTTP {
		return errors.New("delivery: of HTTP routes only")
	}
	if page := m.GetMaintenance(); page != nil {
		r.maintenance = &httpproxy.Maintenance{Always: page.GetAlways(), Title: page.GetTitle(), Message: page.GetMessage()}
	}
	d := m.GetDelivery()
	if !httpguts.ValidHostHeader(d.GetHost()) {
		return fmt.Errorf("delivery.host: %q", d.GetHost())
	}
	r.delivery.Host = d.GetHost()
	var errs [2]error
	r.delivery.Request, errs[0] = decodeFields("delivery.request", d.GetRequest())
	r.delivery.Response, errs[1] = decodeFields("delivery.response", d.GetResponse())
	return errors.Join(errs[:]...)
}

func decodeFields(at string, m *nodev1.HeaderFields) (out httpproxy.Fields, err error) {
	for i, name := range m.GetRemove() {
		if !httpguts.ValidHeaderFieldName(name) || http.CanonicalHeaderKey(name) != name {
			return out, fmt.Errorf("%s.remove[%d]: %q is not the canonical name of a header field", at, i, name)
		}
		out.Remove = append(out.Remove, name)
	}
	for i, f := range m.GetSet() {
		if !httpguts.ValidHeaderFieldName(f.GetName()) || http.CanonicalHeaderKey(f.GetName()) != f.GetName() {
			return out, fmt.Errorf("%s.set[%d].name: %q is not the canonical name of a header field", at, i, f.GetName())
		}
		if !httpguts.ValidHeaderFieldValue(f.GetValue()) {
			return out, fmt.Errorf("%s.set[%d].value: not a value of a header field", at, i)
		}
		out.Set = append(out.Set, httpproxy.Field{Name: f.GetName(), Value: f.GetValue()})
	}
	return out, nil
}
