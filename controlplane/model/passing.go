package model

import (
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
)

// Bounds of how long a set of manifests that passes lives without being renewed.
const (
	MinLifetime = 10 * time.Second
	MaxLifetime = 24 * time.Hour
)

// PassingSet is a set of manifests that goes, with all it keeps, unless its owner renews it.
type PassingSet struct {
	Org      OrgID
	Name     string
	Owner    string // as the audit log calls him
	Lifetime time.Duration
	Expires  time.Time
}

// Validate reports what is wrong with the set by itself.
func (s *PassingSet) Validate() error {
	if s.Lifetime < MinLifetime || s.Lifetime > MaxLifetime || s.Lifetime%time.Second != 0 {
		return fault.Field("lifetime", "want whole seconds between %s and %s", MinLifetime, MaxLifetime)
	}
	return nil
}
