package console

import (
	"fmt"
	"strings"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// What a form says of how requests are delivered stands under the names of the API; header fields are set one on each
// line, "X-Env: production". A form that says nothing of it leaves it as it is.

// setDelivery puts into a form how requests of a service are delivered, and the page in its place.
func (f Form) setDelivery(d *admin.Delivery, m *admin.Maintenance) {
	if d != nil {
		f.Set("delivery.host", d.Host)
		f.setFields("delivery.request", d.Request)
		f.setFields("delivery.response", d.Response)
	}
	if m != nil {
		f.Set("maintenance.show", m.Show)
		f.Set("maintenance.title", m.Title)
		f.Set("maintenance.message", m.Message)
	}
}

func (f Form) setFields(at string, h admin.HeaderFields) {
	var set []string
	for _, s := range h.Set {
		set = append(set, s.Name+": "+s.Value)
	}
	f.Set(at+".set", strings.Join(set, "\n"))
	f.Set(at+".remove", strings.Join(h.Remove, "\n"))
}

// delivery is what was typed over what there was.
func (f Form) delivery(s *admin.ServiceSpec) (err error) {
	if s.Kind != string(model.HTTP) {
		s.Delivery, s.Maintenance = nil, nil
		return nil
	}
	if f.Has("delivery.host") {
		d := &admin.Delivery{Host: f.Get("delivery.host")}
		if d.Request, err = f.fields("delivery.request"); err != nil {
			return err
		}
		if d.Response, err = f.fields("delivery.response"); err != nil {
			return err
		}
		if s.Delivery = d; d.Host == "" && len(d.Request.Set)+len(d.Request.Remove)+len(d.Response.Set)+len(d.Response.Remove) == 0 {
			s.Delivery = nil
		}
	}
	if f.Has("maintenance.show") {
		if s.Maintenance = nil; f.Get("maintenance.show") != "" {
			s.Maintenance = &admin.Maintenance{Show: f.Get("maintenance.show"), Title: f.Get("maintenance.title"), Message: f.Get("maintenance.message")}
		}
	}
	return nil
}

func (f Form) fields(at string) (out admin.HeaderFields, err error) {
	for i, line := range f.rows(at + ".set") {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return out, fault.Field(fmt.Sprintf("%s.set[%d]", at, i), "%q, want one such as X-Env: production", line)
		}
		out.Set = append(out.Set, admin.HeaderField{Name: strings.TrimSpace(name), Value: strings.TrimSpace(value)})
	}
	out.Remove = f.lines(at + ".remove")
	return out, nil
}

// setUpstream puts into a form how a target is spoken to.
func (f Form) setUpstream(t admin.TargetSpec) {
	f.Set("scheme", t.Scheme)
	f.Set("server_name", t.ServerName)
	f.Set("authorities_pem", strings.TrimSpace(t.AuthoritiesPEM))
	f.tick("strip_prefix", t.StripPrefix)
}

// upstream is what was typed over what there was; it is for targets of http services.
func (f Form) upstream(s *admin.TargetSpec) {
	if !f.Has("scheme") || f.Get("kind") != "" && f.Get("kind") != string(model.HTTP) {
		return
	}
	s.Scheme, s.ServerName, s.StripPrefix, s.AuthoritiesPEM = f.Get("scheme"), "", f.Get("strip_prefix") == "on", ""
	if s.Scheme == model.SchemeHTTPS {
		s.ServerName = f.Get("server_name")
		if pem := f.Get("authorities_pem"); pem != "" {
			s.AuthoritiesPEM = pem + "\n"
		}
	}
}
