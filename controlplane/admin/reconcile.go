package admin

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// reconciler makes the services and targets that the labels at a site have made be what these ask for. Such objects are
// known by their "managed_by", which is the site's id: no set of manifests can be called that. All others it leaves alone.
type reconciler struct {
	*call
	site   *model.Site
	set    string
	wishes model.Wishes

	services map[string]*model.Service // that labels have made, by name
	targets  map[string]*model.Target
	keep     map[string]bool // names of targets
	spare    map[string]bool // names of services that go on as they are, or are written anew
}

func (r *reconciler) problem(service, container, message string) {
	r.wishes.Problems = append(r.wishes.Problems, model.PublishProblem{Service: service, Container: container, Message: message})
}

func (r *reconciler) run() error {
	if err := r.load(); err != nil {
		return err
	}
	if r.site.Publish == nil {
		if n := len(r.wishes.Services); n > 0 {
			r.problem("", "", itoa(n)+" services are asked for, and the site may publish none: see its field publish")
		}
		r.wishes.Services, r.wishes.Held, r.wishes.Partial = nil, nil, false
	}
	if err := r.warn(); err != nil {
		return err
	}
	r.choose()
	if !r.wishes.Partial {
		if err := r.removeTargets(); err != nil {
			return err
		}
		if err := r.removeServices(); err != nil {
			return err
		}
	}
	for i := range r.wishes.Services {
		if err := r.put(&r.wishes.Services[i]); err != nil {
			return err
		}
	}
	return nil
}

// warn says which other connectors can't reach containers, although nodes will ask them to.
func (r *reconciler) warn() error {
	if r.wishes.Local == "" || len(r.wishes.Services) == 0 {
		return nil
	}
	site, err := r.tx.ListConnectorsOfSite(r, r.site.ID)
	if err != nil {
		return err
	}
	if names := r.wishes.Astray(site); len(names) > 0 {
		r.problem("", "", fmt.Sprintf("containers beside connector %s are reached at addresses of their own, and %s of the same site may be asked to reach them, too: "+
			"set docker.host_address of %[1]s, docker.routed if the whole site reaches them, or make a site of its own for it", r.wishes.Local, strings.Join(names, ", ")))
	}
	return nil
}

// load reads what labels have made so far.
func (r *reconciler) load() error {
	r.services, r.targets = map[string]*model.Service{}, map[string]*model.Target{}
	err := r.managed("services", func(id uuid.UUID) error {
		v, err := r.tx.GetService(r, model.ServiceID{UUID: id})
		if err == nil {
			r.services[v.Name] = v
		}
		return err
	})
	if err != nil {
		return err
	}
	return r.managed("targets", func(id uuid.UUID) error {
		v, err := r.tx.GetTarget(r, model.TargetID{UUID: id})
		if err == nil {
			r.targets[v.Name] = v
		}
		return err
	})
}

func (r *reconciler) managed(table string, each func(uuid.UUID) error) error {
	ids, err := r.tx.ManagedBy(r, table, r.site.Org, r.set)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := each(id); err != nil && fault.Of(err) != fault.NotFound {
			return err
		}
	}
	return nil
}

// choose leaves of what is asked for what the site may publish.
func (r *reconciler) choose() {
	r.keep, r.spare = map[string]bool{}, maps.Clone(r.wishes.Held)
	if r.spare == nil {
		r.spare = map[string]bool{}
	}
	var wanted []model.PublishedService
	for _, w := range r.wishes.Services {
		v := &model.Service{}
		if err := fillService(v, r.serviceSpec(&w)); err != nil {
			r.refuse(&w, err)
			r.spare[w.Name] = true // what there is of it is better than nothing
			continue
		}
		if err := r.site.Publish.Allows(v); err != nil {
			r.refuse(&w, err)
			continue
		}
		r.spare[w.Name] = true
		for _, t := range w.Targets {
			r.keep[t.Name] = true
		}
		wanted = append(wanted, w)
	}
	r.wishes.Services = wanted
}

func (r *reconciler) refuse(w *model.PublishedService, err error) {
	message, ok := problemOf(err)
	if !ok {
		message = err.Error()
	}
	r.problem(w.Name, "", message)
}

// removeTargets removes those that nobody asks for, but for those of services that labels speak of without making sense.
func (r *reconciler) removeTargets() error {
	wanted := map[string]bool{}
	for _, w := range r.wishes.Services {
		wanted[w.Name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(r.targets)) {
		t := r.targets[name]
		s, err := r.tx.GetService(r, t.Service)
		if err != nil {
			return err
		}
		if r.keep[name] || r.spare[s.Name] && !wanted[s.Name] {
			continue
		}
		if err := r.a.Targets.remove(r.call, t.ID.String(), Write{}); err != nil {
			return err
		}
	}
	return nil
}

// removeServices removes those that nobody asks for. One that somebody has put a target behind by hand is his as well.
func (r *reconciler) removeServices() error {
	for _, name := range slices.Sorted(maps.Keys(r.services)) {
		if r.spare[name] {
			continue
		}
		v := r.services[name]
		others, err := r.tx.ListTargetsOfService(r, v.ID)
		if err != nil {
			return err
		}
		if len(others) > 0 {
			r.problem(name, "", "no label asks for it any more; it stays for its target "+others[0].Name+", which no label has made")
			continue
		}
		if err := r.a.Services.remove(r.call, v.ID.String(), Write{}); err != nil {
			return err
		}
		delete(r.services, name)
	}
	return nil
}

// put makes one service and its targets be as wanted. What can't be is a problem of its own.
func (r *reconciler) put(w *model.PublishedService) error {
	made, err := r.attempt(w.Name, "", func() error { return r.putService(w) })
	if err != nil || !made {
		return err
	}
	r.services[w.Name] = nil // it is there
	for i := range w.Targets {
		t := &w.Targets[i]
		if _, err := r.attempt(w.Name, t.Container, func() error { return r.putTarget(w.Name, t) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *reconciler) attempt(service, container string, fn func() error) (bool, error) {
	err := r.tx.Attempt(r, fn)
	if err == nil {
		return true, nil
	}
	message, ok := problemOf(err)
	if !ok {
		return false, err
	}
	r.problem(service, container, message)
	return false, nil
}

func (r *reconciler) putService(w *model.PublishedService) error {
	if err := mine(r, r.a.Services, w.Name); err != nil {
		return err
	}
	_, _, err := r.a.Services.put(r.call, w.Name, r.serviceSpec(w), Write{Set: r.set})
	return err
}

func (r *reconciler) putTarget(service string, t *model.PublishedTarget) error {
	if err := mine(r, r.a.Targets, t.Name); err != nil {
		return err
	}
	_, _, err := r.a.Targets.put(r.call, t.Name, r.targetSpec(service, t), Write{Set: r.set})
	return err
}

// mine refuses an object that is there and that no label at the site has made.
func mine[M, S, V any](r *reconciler, k *Collection[M, S, V], name string) error {
	m, err := k.held(r.call, name, "")
	if fault.Of(err) == fault.NotFound && err != nil {
		return nil
	}
	if err != nil {
		return err
	}
	all, err := labels(r.call, []*M{m})
	if err != nil {
		return err
	}
	switch by := all[placeOf(any(m)).id].ManagedBy; by {
	case r.set:
		return nil
	case "":
		return fault.New(fault.Conflict, "the %s %s was made by hand: call it another name by the label, or delete it", k.kind, name)
	default:
		return fault.New(fault.Conflict, "the %s %s is kept by %s", k.kind, name, by)
	}
}

func (r *reconciler) serviceSpec(w *model.PublishedService) ServiceSpec {
	pool := w.Pool
	if pool == "" {
		pool = r.site.Pool.String()
	}
	return ServiceSpec{
		Kind: w.Kind, Hostname: w.Hostname, Pool: pool, Ports: w.Ports, Allow: w.Allow, ProxyProtocol: w.ProxyProtocol, Terminate: w.Terminate, Policy: w.Policy,
	}
}

func (r *reconciler) targetSpec(service string, t *model.PublishedTarget) TargetSpec {
	s := TargetSpec{
		Service: service, Site: r.site.ID.String(), Address: t.Address, Port: t.Port, PathPrefix: t.PathPrefix, Weight: t.Weight,
		Scheme: t.Scheme, ServerName: t.ServerName, StripPrefix: t.StripPrefix,
	}
	if h := t.HealthCheck; h != nil {
		s.HealthCheck = &HealthCheck{
			Kind: h.Kind, Interval: h.Interval, Timeout: h.Timeout, HealthyThreshold: h.HealthyThreshold, UnhealthyThreshold: h.UnhealthyThreshold,
			Method: h.Method, Path: h.Path, Host: h.Host, ExpectedStatuses: h.ExpectedStatuses, BodyContains: h.BodyContains, TLS: h.TLS,
		}
	}
	return s
}
