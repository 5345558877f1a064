package console

import (
	"slices"
	"strconv"
	"strings"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// poolOptions are the pools that one may choose.
func (q *Request) poolOptions() []Option {
	var names []string
	for p := range q.m.Pools() {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return options(names...)
}

func (q *Request) siteOptions() []Option {
	var out []Option
	for _, s := range q.sitesOf() {
		out = append(out, Option{s.Name, s.Name})
	}
	return out
}

// policyOptions are the policies of the organization, and none.
func (q *Request) policyOptions() ([]Option, error) {
	out := []Option{{"", "everybody"}}
	if !q.Can(access.PoliciesRead) {
		return out, nil
	}
	for after := ""; ; {
		list, next, err := q.Admin.Policies.List(q.Context(), q.Who, q.Org.ID.String(), after, 500)
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			out = append(out, Option{p.Name, p.Name})
		}
		if after = next; next == "" || len(out) > 1000 {
			return out, nil
		}
	}
}

// firstOf is the first choice, "" if there is none.
func firstOf(list []Option) string {
	if len(list) == 0 {
		return ""
	}
	return list[0].Value
}

func newService(q *Request) (*Page, error) {
	f := filled("kind", "http", "pool", firstOf(q.poolOptions()), "site", q.URL.Query().Get("site"), "proxy_protocol", "0")
	if len(q.siteOptions()) == 1 {
		f.Set("site", firstOf(q.siteOptions()))
	}
	return q.serviceForm(nil, f, 0)
}

// serviceForm is the form of a service: of a new one with its first target.
func (q *Request) serviceForm(s *model.Service, f Form, status int) (*Page, error) {
	policies, err := q.policyOptions()
	if err != nil {
		return nil, err
	}
	p := &Page{Title: "Publish a service", Crumbs: q.serviceCrumbs(), Status: status}
	if s != nil {
		p.Title, p.Crumbs = "Edit "+s.Name, q.serviceCrumbs(Crumb{s.Name, q.To("services", s.Name)})
	}
	p.Top = serviceFormView(q, s, f, policies)
	return p, nil
}

// serviceSpec is what was typed, over what there was; what belongs to another kind of service is left out.
func serviceSpec(f Form, s admin.ServiceSpec) (admin.ServiceSpec, error) {
	s.Kind, s.Pool, s.Policy = f.Get("kind"), f.Get("pool"), f.Get("policy")
	s.Hostname, s.Terminate, s.Ports, s.Allow, s.ProxyProtocol = "", false, "", nil, 0
	switch model.ServiceKind(s.Kind) {
	case model.HTTP:
		s.Hostname = f.Get("hostname")
	case model.TLS:
		s.Hostname, s.Terminate = f.Get("hostname"), f.Get("terminate") == "on"
	default:
		s.Ports, s.Allow = f.Get("ports"), f.lines("allow")
	}
	if n := f.Get("proxy_protocol"); n != "" && (s.Kind == string(model.TLS) || s.Kind == string(model.TCP)) {
		v, err := strconv.Atoi(n)
		if err != nil || v < 0 || v > 2 {
			return s, fault.Field("proxy_protocol", "%q, want 0, 1 or 2", n)
		}
		s.ProxyProtocol = v
	}
	return s, f.delivery(&s)
}

func createService(q *Request) (*Done, error) {
	f := formOf(q)
	rev, err := q.publish(f)
	if err != nil {
		status := f.refuse(err)
		if status == 0 {
			return nil, err
		}
		p, err := q.serviceForm(nil, f, status)
		return &Done{Page: p}, err
	}
	return &Done{To: q.To("services", f.Get("name")), Said: "The service " + f.Get("name") + " is published.", Revision: rev}, nil
}

// publish makes a service with its first target. A service whose target is refused is taken back.
func (q *Request) publish(f Form) (model.Revision, error) {
	if f.Get("name") == "" {
		return 0, fault.Field("name", "missing")
	}
	spec, err := serviceSpec(f, admin.ServiceSpec{})
	if err != nil {
		return 0, err
	}
	target, err := targetSpec(f, f.Get("name"))
	if err != nil {
		return 0, err
	}
	org := q.Org.ID.String()
	v, rev, err := q.Admin.Services.Create(q.Context(), q.Who, org, f.Get("name"), spec)
	if err != nil || target.Site == "" && target.Address == "" && f.Get("port") == "" {
		return rev, err
	}
	_, next, err := q.Admin.Targets.Create(q.Context(), q.Who, org, v.Name, target)
	if err != nil {
		_, _ = q.Admin.Services.Delete(q.Context(), q.Who, org, v.ID)
		return 0, err
	}
	return next, nil
}

func editService(q *Request) (*Page, error) {
	s, err := q.serviceNamed()
	if err != nil {
		return nil, err
	}
	v, err := q.Admin.Services.Get(q.Context(), q.Who, q.Org.ID.String(), s.ID.String())
	if err != nil {
		return nil, err
	}
	f := filled("kind", v.Kind, "hostname", v.Hostname, "pool", v.Pool, "ports", v.Ports, "allow", strings.Join(v.Allow, "\n"), "policy", v.Policy,
		"proxy_protocol", strconv.Itoa(v.ProxyProtocol))
	f.tick("terminate", v.Terminate)
	f.setDelivery(v.Delivery, v.Maintenance)
	return q.keeping(v.ManagedBy)(q.serviceForm(s, f, 0))
}

func changeService(q *Request) (*Done, error) {
	s, err := q.serviceNamed()
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	old, err := q.Admin.Services.Get(q.Context(), q.Who, q.Org.ID.String(), s.ID.String())
	if err != nil {
		return nil, err
	}
	spec, err := specOf[admin.ServiceSpec](old)
	if err != nil {
		return nil, err
	}
	spec, err = serviceSpec(f, spec)
	var rev model.Revision
	if err == nil {
		_, _, rev, err = q.Admin.Services.Put(q.Context(), q.Who, q.Org.ID.String(), s.ID.String(), spec)
	}
	if err != nil {
		status := f.refuse(err)
		if status == 0 {
			return nil, err
		}
		p, err := q.serviceForm(s, f, status)
		return &Done{Page: p}, err
	}
	return &Done{To: q.To("services", s.Name), Said: "The service " + s.Name + " is changed.", Revision: rev}, nil
}

// targetSpec is what was typed of a target.
func targetSpec(f Form, service string) (admin.TargetSpec, error) {
	s := admin.TargetSpec{Service: service, Site: f.Get("site"), Address: f.Get("address"), PathPrefix: f.Get("path_prefix")}
	var err error
	if s.Port, err = number(f, "port"); err != nil {
		return s, err
	}
	if s.Weight, err = number(f, "weight"); err != nil {
		return s, err
	}
	if kind := f.Get("check"); kind != "" {
		s.HealthCheck = &admin.HealthCheck{Kind: kind, Interval: f.Get("check_interval")}
		if kind == string(model.CheckHTTP) {
			s.HealthCheck.Path = f.Get("check_path")
		}
	}
	f.upstream(&s)
	return s, nil
}

// number is a field that may be empty; then it is 0.
func number(f Form, name string) (int, error) {
	if f.Get(name) == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(f.Get(name))
	if err != nil {
		return 0, fault.Field(name, "%q is no number", f.Get(name))
	}
	return n, nil
}

// checkFields names what the API calls otherwise as the form does.
func checkFields(f *Form) {
	for i, w := range f.Wrong {
		switch w.Field {
		case "health_check.path":
			f.Wrong[i].Field = "check_path"
		case "health_check.interval", "health_check.timeout":
			f.Wrong[i].Field = "check_interval"
		case "health_check.kind", "health_check":
			f.Wrong[i].Field = "check"
		}
	}
}

func (q *Request) targetForm(s *model.Service, t *model.Target, f Form, status int) *Page {
	checkFields(&f)
	p := &Page{Title: "Add a target", Crumbs: q.serviceCrumbs(Crumb{s.Name, q.To("services", s.Name)}), Status: status}
	if t != nil {
		p.Title = "Edit " + t.Name
	}
	p.Top = targetFormView(q, s, t, f)
	return p
}

func newTarget(q *Request) (*Page, error) {
	s, err := q.serviceNamed()
	if err != nil {
		return nil, err
	}
	name := s.Name
	for i := 2; slices.ContainsFunc(q.targetsOf(s), func(t *model.Target) bool { return t.Name == name }); i++ {
		name = s.Name + "-" + strconv.Itoa(i)
	}
	return q.targetForm(s, nil, filled("name", name, "site", firstOf(q.siteOptions()), "weight", "100"), 0), nil
}

func createTarget(q *Request) (*Done, error) {
	s, err := q.serviceNamed()
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	spec, err := targetSpec(f, s.Name)
	var rev model.Revision
	if err == nil {
		_, rev, err = q.Admin.Targets.Create(q.Context(), q.Who, q.Org.ID.String(), f.Get("name"), spec)
	}
	return q.targetDone(s, nil, f, rev, err, "The target "+f.Get("name")+" is added.")
}

func (q *Request) targetDone(s *model.Service, t *model.Target, f Form, rev model.Revision, err error, said string) (*Done, error) {
	if err == nil {
		return &Done{To: q.To("services", s.Name), Said: said, Revision: rev}, nil
	}
	if status := f.refuse(err); status != 0 {
		return &Done{Page: q.targetForm(s, t, f, status)}, nil
	}
	return nil, err
}

// targetNamed is the target of the path, behind the service of the path.
func (q *Request) targetNamed() (*model.Service, *model.Target, error) {
	s, err := q.serviceNamed()
	if err != nil {
		return nil, nil, err
	}
	ref := q.PathValue("target")
	for t := range q.m.TargetsOf(s.ID) {
		if t.Name == ref || t.ID.String() == ref {
			return s, t, nil
		}
	}
	return nil, nil, fault.New(fault.NotFound, "There is no target %q behind this service.", ref)
}

func editTarget(q *Request) (*Page, error) {
	s, t, err := q.targetNamed()
	if err != nil {
		return nil, err
	}
	v, err := q.Admin.Targets.Get(q.Context(), q.Who, q.Org.ID.String(), t.ID.String())
	if err != nil {
		return nil, err
	}
	f := filled("name", v.Name, "site", v.Site, "address", v.Address, "port", strconv.Itoa(v.Port), "path_prefix", v.PathPrefix, "weight", strconv.Itoa(v.Weight))
	spec, err := specOf[admin.TargetSpec](v)
	if err != nil {
		return nil, err
	}
	f.setUpstream(spec)
	if c := v.HealthCheck; c != nil {
		f.Set("check", c.Kind)
		f.Set("check_path", c.Path)
		f.Set("check_interval", c.Interval)
	}
	return q.keeping(v.ManagedBy)(q.targetForm(s, t, f, 0), nil)
}

// changeTarget keeps what the form does not show.
func changeTarget(q *Request) (*Done, error) {
	s, t, err := q.targetNamed()
	if err != nil {
		return nil, err
	}
	f := formOf(q)
	spec, err := targetSpec(f, s.Name)
	var rev model.Revision
	if err == nil {
		var old admin.Target
		if old, err = q.Admin.Targets.Get(q.Context(), q.Who, q.Org.ID.String(), t.ID.String()); err != nil {
			return nil, err
		}
		if have, want := old.HealthCheck, spec.HealthCheck; have != nil && want != nil && have.Kind == want.Kind {
			kept := *have
			if kept.Interval != want.Interval {
				kept.Interval, kept.Timeout = want.Interval, ""
			}
			kept.Path = want.Path
			spec.HealthCheck = &kept
		}
		typed := spec
		if spec, err = specOf[admin.TargetSpec](old); err != nil {
			return nil, err
		}
		spec.Site, spec.Address, spec.Port, spec.Weight, spec.HealthCheck = typed.Site, typed.Address, typed.Port, typed.Weight, typed.HealthCheck
		if f.Has("path_prefix") {
			spec.PathPrefix = typed.PathPrefix
		}
		f.upstream(&spec)
		_, _, rev, err = q.Admin.Targets.Put(q.Context(), q.Who, q.Org.ID.String(), t.ID.String(), spec)
	}
	return q.targetDone(s, t, f, rev, err, "The target "+t.Name+" is changed.")
}

func askDeleteTarget(q *Request) (*Page, error) {
	s, t, err := q.targetNamed()
	if err != nil {
		return nil, err
	}
	back := q.To("services", s.Name)
	return &Page{
		Title: "Delete " + t.Name + "?", Crumbs: q.serviceCrumbs(Crumb{s.Name, back}),
		Top: question("Nothing is sent to "+t.Address+" any more.", "Delete the target", q.URL.Path, back),
	}, nil
}

func deleteTarget(q *Request) (*Done, error) {
	s, t, err := q.targetNamed()
	if err != nil {
		return nil, err
	}
	rev, err := q.Admin.Targets.Delete(q.Context(), q.Who, q.Org.ID.String(), t.ID.String())
	return &Done{To: q.To("services", s.Name), Said: "The target " + t.Name + " is deleted.", Revision: rev}, err
}
