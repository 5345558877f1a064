// Package dns answers authoritatively for the cluster's zones from the live nodes of their pools.
//
// New, Apply and Serve are the whole of it. Apply takes the whole desired state as a Config; each query is
// answered from one immutable view, so no answer mixes two states. Until the first Apply every query is
// answered SERVFAIL, which sends a resolver to another name server without a lasting mark.
package dns

import (
	"fmt"
	"net/netip"
	"strings"
)

// A Node is an entrance of the cluster, as DNS sees it.
type Node struct {
	ID, Name, Pool string
	Addresses      []netip.Addr
	Region         string // empty: not said
	Draining, Down bool
}

// A Zone is a domain delegated to the nodes of a pool. SOA, NS and the name servers' addresses are derived.
type Zone struct {
	ID, Apex, Pool string
	Issuers        []string // authorities that CAA records at the apex allow; none: there are no such records
	CAA            []CAA    // what these records are instead, if there are any
}

// CAA is a CAA record without flags (RFC 8659 §4.1).
type CAA struct{ Tag, Value string }

// maxCAA bounds the value of a record.
const maxCAA = 2048

// Validate refuses what would not stand in the record as it is written here, or says something else than who may issue.
func (c CAA) Validate() error {
	if c.Tag != "issue" && c.Tag != "issuewild" {
		return fmt.Errorf("tag %q: not issue or issuewild", c.Tag)
	}
	if c.Value == "" || len(c.Value) > maxCAA || strings.ContainsFunc(c.Value, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return fmt.Errorf("value %q: empty, longer than %d octets, or with characters that have to be escaped", c.Value, maxCAA)
	}
	return nil
}

// A RecordSet gives one owner name, which may be a wildcard, the addresses of a pool's live nodes.
type RecordSet struct {
	Zone  string // id
	Owner string // canonical, without trailing dot
	TTL   uint32 // seconds
	Pool  string // id
}

// Config is the whole desired state. Apply keeps it: it must not be changed afterwards.
type Config struct {
	Serial     uint32
	Region     string // of the node that answers; empty: not said
	Zones      []Zone
	RecordSets []RecordSet
	Nodes      []Node
	Challenges []Challenge
}

// An ObjectError says what is wrong with one object of a Config. Apply leaves that object out, serves
// the rest, then returns these errors joined.
type ObjectError struct {
	Zone      string // id of a zone, or of the zone that a record set names
	Owner     string // set for a record set
	Node      string // id of a node
	Challenge string // id of a challenge
	Err       error
}

func (e *ObjectError) Error() string {
	switch {
	case e.Owner != "":
		return fmt.Sprintf("record set %s: %v", e.Owner, e.Err)
	case e.Challenge != "":
		return fmt.Sprintf("challenge %s: %v", e.Challenge, e.Err)
	case e.Node != "":
		return fmt.Sprintf("node %s: %v", e.Node, e.Err)
	default:
		return fmt.Sprintf("zone %s: %v", e.Zone, e.Err)
	}
}

func (e *ObjectError) Unwrap() error { return e.Err }
