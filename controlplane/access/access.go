// Package access says who may do what to which object.
package access

import (
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
)

// Principal is a caller whose key was checked. The zero Principal may do nothing.
type Principal struct {
	Key  model.APIKeyID
	Name string      // of the key
	Org  model.OrgID // zero: the whole cluster
}

// Actor names the caller in revisions.
func (p Principal) Actor() string { return "key:" + p.Key.String() }

// Permission is what an operation needs; the API description lists it.
type Permission string

// Permissions.
const (
	ClusterRead  Permission = "cluster:read"  // pools and regions, by everybody
	ClusterAdmin Permission = "cluster:admin" // everything that belongs to no organization
	OrgRead      Permission = "org:read"
	OrgWrite     Permission = "org:write"
)

// Check says whether a caller may use an operation at all.
func (p Principal) Check(need Permission) error {
	if p.Key.IsZero() {
		return fault.New(fault.Denied, "no key")
	}
	if p.Org.IsZero() {
		return nil
	}
	switch need {
	case ClusterRead, OrgRead, OrgWrite:
		return nil
	}
	return fault.New(fault.Denied, "this key is good for one organization only")
}

// CheckOrg says whether a caller may see an organization. Another one's objects are not denied: they are
// not there.
func (p Principal) CheckOrg(org model.OrgID) error {
	if p.Key.IsZero() || !p.Org.IsZero() && p.Org != org {
		return fault.New(fault.NotFound, "no such organization")
	}
	return nil
}
