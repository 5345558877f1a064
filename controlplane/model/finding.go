package model

import "time"

// DomainFinding is what the DNS was found to say of a domain: how its names can be proved to an authority.
type DomainFinding struct {
	Domain    DomainID
	Delegated bool      // its apex and wildcard can be proved by dns-01: true until the contrary is found
	Asked     []string  // hostnames of services that were asked about, sorted
	Provable  []string  // those that can be proved although the domain is not delegated: they lead to our nodes, or their challenge does
	Problem   string    // why nothing could be found out the last time
	Found     time.Time // zero: nothing was found out yet
	NextCheck time.Time
}

// ByName reports whether the names of a domain are proved each by itself.
func (f *DomainFinding) ByName() bool {
	return f != nil && !f.Delegated && len(f.Provable) > 0
}
