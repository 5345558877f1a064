package docker

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Labels that are not of a service.
const (
	prefix        = "warren."
	enableLabel   = "warren.enable"
	networkLabel  = "warren.network"
	servicePrefix = "warren.service."
)

// Bounds of what labels may ask for.
const (
	maxServices = 500
	maxTargets  = 2000
	maxValue    = 1024
	maxProblems = 100
)

var nameSyntax = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Read says what the labels of containers ask for. The engine's name is left to the caller.
func Read(containers []Container, o Options) Publication {
	r := reader{o: o, services: map[string]*draft{}}
	ordered := slices.Clone(containers)
	slices.SortStableFunc(ordered, func(a, b Container) int { // what runs says how it is; what has just gone must not gainsay it
		if a.Gone != b.Gone {
			if b.Gone {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID)
	})
	for i := range ordered {
		r.container(&ordered[i])
	}
	return r.publication()
}

// reader gathers what containers say.
type reader struct {
	o        Options
	services map[string]*draft
	targets  int
	problems []Problem
}

// draft is a service as far as containers have spoken of it.
type draft struct {
	Service
	said    map[string]saying // fields of the service
	members []member
	bad     bool // it is not to be published as it is drafted
}

// saying is what a label says of a service, and whose it is.
type saying struct{ value, container string }

// member is a container behind a service, with what it says by field.
type member struct {
	*Container
	wish map[string]string
}

func (r *reader) problem(service, container, label, format string, args ...any) {
	r.problems = append(r.problems, Problem{service, container, label, fmt.Sprintf(format, args...)})
}

func (r *reader) container(c *Container) {
	on, asked := c.Labels[enableLabel]
	if !asked || on == "false" {
		return
	}
	before := len(r.problems)
	if on != "true" {
		r.problem("", c.Name, enableLabel, "%q, want true or false", clip(on))
	}
	wishes, bad := r.wishes(c)
	for _, name := range slices.Sorted(maps.Keys(wishes)) {
		d := r.services[name]
		if d == nil {
			if len(r.services) == maxServices {
				r.problem(name, c.Name, "", "more than %d services", maxServices)
				break
			}
			d = &draft{Service: Service{Name: name}, said: map[string]saying{}}
			r.services[name] = d
		}
		if on == "true" && !bad[name] {
			r.join(d, c, wishes[name])
		}
	}
	if len(wishes) == 0 && len(r.problems) == before {
		r.problem("", c.Name, "", "no label %sNAME.FIELD", servicePrefix)
	}
	if c.Gone {
		r.problems = r.problems[:before] // there is nothing to be done about them any more
	}
}

// wishes are the labels of each service by field. A service of bad has a label that is none: what that was to change, or to
// whom the service was to be open, is not known, so that the others don't count either.
func (r *reader) wishes(c *Container) (out map[string]map[string]string, bad map[string]bool) {
	out, bad = map[string]map[string]string{}, map[string]bool{}
	for _, label := range slices.Sorted(maps.Keys(c.Labels)) {
		value := c.Labels[label]
		switch {
		case !strings.HasPrefix(label, prefix), label == enableLabel, label == networkLabel:
			continue
		case !strings.HasPrefix(label, servicePrefix):
			r.problem("", c.Name, clip(label), "not known: want %s, %s or %sNAME.FIELD", enableLabel, networkLabel, servicePrefix)
			continue
		}
		name, word, _ := strings.Cut(label[len(servicePrefix):], ".")
		if !nameSyntax.MatchString(name) {
			r.problem("", c.Name, clip(label), "%q is no name of a service: want lower-case letters, digits and inner hyphens, 63 at most", clip(name))
			continue
		}
		if out[name] == nil {
			out[name] = map[string]string{}
		}
		f, known := fields[word]
		var err error
		switch {
		case !known:
			err = fmt.Errorf("not known: want one of %s", strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		case len(value) > maxValue || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
			err = fmt.Errorf("want one line of text of %d bytes at most", maxValue)
		default:
			err = f.read(&Service{}, &Target{}, value)
		}
		if err != nil {
			r.problem(name, c.Name, clip(label), "%v", err)
			bad[name] = true
			continue
		}
		out[name][word] = value
	}
	return out, bad
}

// join adds a container to a service.
func (r *reader) join(d *draft, c *Container, wish map[string]string) {
	for _, word := range slices.Sorted(maps.Keys(wish)) {
		had, said := d.said[word]
		switch {
		case !fields[word].ofService:
		case !said:
			d.said[word] = saying{wish[word], c.Name}
		case had.value != wish[word] && !c.Gone:
			r.problem(d.Name, "", servicePrefix+d.Name+"."+word, "container %s says %q, and %s says %q", had.container, had.value, c.Name, wish[word])
			d.bad = true
		}
	}
	d.members = append(d.members, member{c, wish})
}

func (r *reader) publication() Publication {
	out := Publication{Anywhere: r.o.anywhere()}
	for _, name := range slices.Sorted(maps.Keys(r.services)) {
		d := r.services[name]
		d.Kind = "http"
		for word, s := range d.said {
			_ = fields[word].read(&d.Service, &Target{}, s.value) // it was read before
		}
		for _, m := range d.members {
			r.target(d, m)
		}
		if d.bad || len(d.Targets) == 0 {
			out.Held = append(out.Held, name)
			continue
		}
		slices.SortFunc(d.Targets, func(a, b Target) int { return strings.Compare(a.Container, b.Container) })
		out.Services = append(out.Services, d.Service)
	}
	out.Problems = r.problems
	if n := len(out.Problems) - maxProblems; n > 0 {
		out.Problems = append(slices.Clone(out.Problems[:maxProblems]), Problem{Message: fmt.Sprintf("%d more", n)})
	}
	return out
}

// target puts a container behind its service.
func (r *reader) target(d *draft, m member) {
	t := Target{Container: m.Name}
	for word, value := range m.wish {
		_ = fields[word].read(&Service{}, &t, value) // it was read before
	}
	t.HealthCheck.kind(d.Kind)
	protocol := "tcp"
	if d.Kind == "udp" {
		protocol = "udp"
	}
	var err error
	switch t.Address, t.Port, err = place(m.Container, r.o, m.Labels[networkLabel], t.Port, protocol); {
	case err != nil && m.Gone:
	case err != nil:
		r.problem(d.Name, m.Name, servicePrefix+d.Name+".port", "%v", err)
	case slices.ContainsFunc(d.Targets, func(o Target) bool { return o.Container == t.Container }):
		// An engine gives a name once: what has gone had it before.
	case r.targets == maxTargets:
		r.problem(d.Name, m.Name, "", "more than %d targets", maxTargets)
	default:
		r.targets++
		d.Targets = append(d.Targets, t)
	}
}

// kind says how is checked what labels say nothing about.
func (h *HealthCheck) kind(service string) {
	switch {
	case h == nil || h.Kind != "":
	case service == "http" || h.Path != "":
		h.Kind = "http"
	default:
		h.Kind = "tcp"
	}
}

// clip bounds what is quoted of a label.
func clip(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD") // no database stores the latter
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}
