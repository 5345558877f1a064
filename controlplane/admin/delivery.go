package admin

import (
	"strings"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/hostname"
)

// Delivery is how requests are changed on their way to a target, and answers on their way back.
type Delivery struct {
	Host     string       `json:"host,omitempty" maxLength:"255" example:"intern.example.org" doc:"Host that targets are sent; that of the request if absent"`
	Request  HeaderFields `json:"request,omitzero" doc:"Of requests. What says who asks is set behind it"`
	Response HeaderFields `json:"response,omitzero" doc:"Of answers"`
}

// HeaderFields changes header fields: first some are removed, then some set.
type HeaderFields struct {
	Remove []string      `json:"remove,omitempty" maxItems:"64" example:"[\"X-Powered-By\"]"`
	Set    []HeaderField `json:"set,omitempty" maxItems:"64"`
}

// HeaderField is a header field with its one value.
type HeaderField struct {
	Name  string `json:"name" maxLength:"128" example:"X-Env"`
	Value string `json:"value" maxLength:"4096" example:"production"`
}

// Maintenance is a page in place of a service.
type Maintenance struct {
	Show    string `json:"show" enum:"always,unavailable" doc:"always: to everybody, before anything else; unavailable: while no target can answer"`
	Title   string `json:"title,omitempty" maxLength:"480" example:"Back at noon"`
	Message string `json:"message,omitempty" maxLength:"8000" doc:"Paragraphs by line"`
}

const always = "always"

func buildDelivery(d *Delivery) (*model.Delivery, error) {
	if d == nil {
		return nil, nil
	}
	out := &model.Delivery{}
	host, port, ported := strings.Cut(d.Host, ":")
	if d.Host != "" {
		name, err := hostname.Canonical(host)
		if err != nil {
			return nil, fault.Field("delivery.host", "%v", err)
		}
		if out.Host = name; ported {
			out.Host += ":" + port
		}
	}
	var err error
	if out.Request, err = buildFields("delivery.request", d.Request); err != nil {
		return nil, err
	}
	if out.Response, err = buildFields("delivery.response", d.Response); err != nil {
		return nil, err
	}
	if out.Host == "" && len(out.Request.Remove)+len(out.Request.Set)+len(out.Response.Remove)+len(out.Response.Set) == 0 {
		return nil, nil // says nothing
	}
	return out, nil
}

func buildFields(field string, f HeaderFields) (model.Fields, error) {
	var set []model.Field
	for _, s := range f.Set {
		set = append(set, model.Field(s))
	}
	return model.NewFields(field, f.Remove, set)
}

func buildMaintenance(m *Maintenance) (*model.Maintenance, error) {
	if m == nil {
		return nil, nil
	}
	if m.Show != always && m.Show != "unavailable" {
		return nil, fault.Field("maintenance.show", "want always or unavailable")
	}
	return &model.Maintenance{Always: m.Show == always, Title: m.Title, Message: m.Message}, nil
}

func viewDelivery(d *model.Delivery) *Delivery {
	if d == nil {
		return nil
	}
	return &Delivery{Host: d.Host, Request: viewFields(d.Request), Response: viewFields(d.Response)}
}

func viewFields(f model.Fields) (out HeaderFields) {
	out.Remove = f.Remove
	for _, s := range f.Set {
		out.Set = append(out.Set, HeaderField(s))
	}
	return out
}

func viewMaintenance(m *model.Maintenance) *Maintenance {
	if m == nil {
		return nil
	}
	out := &Maintenance{Show: "unavailable", Title: m.Title, Message: m.Message}
	if m.Always {
		out.Show = always
	}
	return out
}

// buildUpstream brings how a target is spoken to into its one form.
func buildUpstream(s TargetSpec) (u model.Upstream, err error) {
	u = model.Upstream{Scheme: s.Scheme, AuthoritiesPEM: s.AuthoritiesPEM, StripPrefix: s.StripPrefix}
	if u.Scheme == model.SchemeHTTP {
		u.Scheme = ""
	}
	if s.ServerName != "" {
		if u.ServerName, err = hostname.Canonical(s.ServerName); err != nil {
			return u, fault.Field("server_name", "%v", err)
		}
	}
	return u, nil
}

func viewScheme(u model.Upstream) string {
	if u.Scheme == "" {
		return model.SchemeHTTP
	}
	return u.Scheme
}
