package certs

import (
	"cmp"
	"slices"
	"strings"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/shared/hostname"
)

// Want is a set of names that one certificate is to carry.
type Want struct {
	Org   model.OrgID
	Names []string // canonical patterns, sorted
}

// Findings are what the DNS was found to say of domains. One that is not in them counts as delegated.
type Findings map[model.DomainID]*model.DomainFinding

// Wanted returns the certificates that the services need, ordered by organization and names: for a domain one
// with its apex and the wildcard below it as soon as a service stands there, and one for each name that neither
// that nor another wildcard of the organization covers. A wildcard can be proved in the DNS alone: of a domain that is
// not delegated, while names of it lead here all the same, each name has its own. Nothing mixes organizations.
func Wanted(m *model.Model, found Findings) []Want {
	var out []Want
	seen := map[string]bool{}
	add := func(org model.OrgID, names ...string) {
		slices.Sort(names)
		if key := org.String() + " " + strings.Join(names, " "); !seen[key] {
			seen[key] = true
			out = append(out, Want{org, names})
		}
	}
	var apart []*model.Service
	wildcards := map[string]bool{}
	for s := range m.Services() {
		if !s.EndsTLS() {
			continue
		}
		d := m.DomainCovering(s.Hostname)
		switch {
		case d == nil || d.Org != s.Org: // nobody would answer a challenge of ours there
		case found[d.ID].ByName():
			apart = append(apart, s)
			wildcards[s.Org.String()+" "+s.Hostname] = hostname.IsWildcard(s.Hostname) && slices.Contains(found[d.ID].Provable, s.Hostname)
		case s.Hostname == d.Name || s.Hostname == "*."+d.Name || below(s.Hostname, d.Name):
			add(d.Org, d.Name, "*."+d.Name)
		default:
			apart = append(apart, s)
			wildcards[s.Org.String()+" "+s.Hostname] = hostname.IsWildcard(s.Hostname)
		}
	}
	for _, s := range apart {
		if w, ok := hostname.Wildcard(s.Hostname); ok && !hostname.IsWildcard(s.Hostname) && wildcards[s.Org.String()+" "+w] {
			continue
		}
		add(s.Org, s.Hostname)
	}
	slices.SortFunc(out, func(a, b Want) int { return cmp.Or(a.Org.Compare(b.Org), slices.Compare(a.Names, b.Names)) })
	return out
}

// below reports whether a name is one label below an apex.
func below(name, apex string) bool {
	w, ok := hostname.Wildcard(name)
	return ok && !hostname.IsWildcard(name) && w == "*."+apex
}

// Hostnames returns for each domain the hostnames of services there that need certificates, sorted.
func Hostnames(m *model.Model) map[model.DomainID][]string {
	out := map[model.DomainID][]string{}
	for s := range m.Services() {
		if d := m.DomainCovering(s.Hostname); s.EndsTLS() && d != nil && d.Org == s.Org {
			out[d.ID] = append(out[d.ID], s.Hostname)
		}
	}
	for id, names := range out {
		slices.Sort(names)
		out[id] = slices.Compact(names)
	}
	return out
}
