package access

import (
	"maps"
	"slices"
)

// Set is a set of permissions. It is never changed once it is made.
type Set map[Permission]struct{}

// NewSet makes a set of permissions by name; what a later release knows and this one does not permits nothing.
func NewSet(names []string) Set {
	out := make(Set, len(names))
	for _, n := range names {
		if p := Permission(n); p.Known() {
			out[p] = struct{}{}
		}
	}
	return out
}

// Has reports whether a permission is in the set.
func (s Set) Has(p Permission) bool {
	_, ok := s[p]
	return ok
}

// Sorted lists the permissions.
func (s Set) Sorted() []Permission { return slices.Sorted(maps.Keys(s)) }

// Names lists the permissions as they are stored.
func (s Set) Names() []string {
	out := make([]string, 0, len(s))
	for _, p := range s.Sorted() {
		out = append(out, string(p))
	}
	return out
}

func (s Set) with(o Set) Set {
	switch {
	case len(s) == 0:
		return o
	case len(o) == 0:
		return s
	}
	out := maps.Clone(s)
	maps.Copy(out, o)
	return out
}

func (s Set) only(keep func(Permission) bool) Set {
	out := make(Set, len(s))
	for p := range s {
		if keep(p) {
			out[p] = struct{}{}
		}
	}
	return out
}
