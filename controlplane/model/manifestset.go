package model

import "time"

// ManifestSet is what the last apply of a set of manifests left that changed anything.
type ManifestSet struct {
	Org                       OrgID
	Name                      string
	Applied                   time.Time
	By                        string // who did it, by name
	Created, Changed, Removed int
	Objects                   map[string]ManifestObject // that it keeps, by id
}

// ManifestObject is an object as a set of manifests wants it.
type ManifestObject struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Digest string `json:"digest"` // of what was written of it
}
