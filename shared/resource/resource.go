// Package resource names the xDS resources that both ends of the push must agree on: their type
// URLs, the order in which types are applied, the form of names, and the version of content.
package resource

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// Type URLs, as they appear on the wire.
const (
	prefix = "type.googleapis.com/warren.node.v1."

	NodeConfig      = prefix + "NodeConfig"
	Trust           = prefix + "Trust"
	Certificate     = prefix + "Certificate"
	Node            = prefix + "Node"
	Site            = prefix + "Site"
	Policy          = prefix + "Policy"
	Brand           = prefix + "Brand"
	Quota           = prefix + "Quota"
	Route           = prefix + "Route"
	Forward         = prefix + "Forward"
	Zone            = prefix + "Zone"
	RecordSet       = prefix + "RecordSet"
	Challenge       = prefix + "Challenge"
	ConnectorConfig = prefix + "ConnectorConfig"
	NodeHealth      = prefix + "NodeHealth"
	TargetHealth    = prefix + "TargetHealth"
	Revocation      = prefix + "Revocation"
	Checkpoint      = prefix + "Checkpoint"
)

// CheckpointName is the name of the one Checkpoint resource of a stream.
const CheckpointName = "checkpoint"

// TokenKey is the reserved key of initial_resource_versions, in the first request for Checkpoint,
// under which a client sends its resume token: the base64 (raw URL alphabet) of the bytes of the
// last Checkpoint it applied.
const TokenKey = "#token"

// ScopeCluster is the scope of what every node and connector holds.
const ScopeCluster = "cluster"

// NodeTypes are the types a node subscribes to, in the order in which their upserts are applied;
// removals are applied in the reverse order. Checkpoint is last. NodeHealth and TargetHealth are
// presence: outside checkpoints, applied on arrival.
func NodeTypes() []string {
	return []string{NodeConfig, Trust, Certificate, Node, Site, Policy, Brand, Quota, Route, Forward, Zone, RecordSet, Challenge, Revocation, NodeHealth, TargetHealth, Checkpoint}
}

// ConnectorTypes are the types a connector subscribes to, in apply order.
func ConnectorTypes() []string {
	return []string{Trust, ConnectorConfig, Checkpoint}
}

// Ephemeral reports whether a type is presence: it takes no part in revisions, digests and files.
func Ephemeral(typeURL string) bool { return typeURL == NodeHealth || typeURL == TargetHealth }

// ShortType is the last part of a type URL, "Route" for Route: how a person names it.
func ShortType(typeURL string) string {
	return typeURL[strings.LastIndexAny(typeURL, "./")+1:]
}

// Name builds a resource name from its parts: the kind and one or more stable ids.
func Name(kind string, ids ...string) string {
	return kind + "/" + strings.Join(ids, "/")
}

// Version is the content version of a resource: the first 96 bits of SHA-256 over its type, the
// encoder epoch and its deterministic bytes, as 16 characters.
func Version(typeURL string, epoch uint32, content []byte) string {
	h := sha256.New()
	h.Write([]byte(typeURL))
	var e [5]byte
	binary.BigEndian.PutUint32(e[1:], epoch) // a zero byte ends the type URL
	h.Write(e[:])
	h.Write(content)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:12])
}

// Digest is an order-free digest of a set of (name, version) pairs: the 128-bit sum of their
// hashes. The zero value is the empty set. Digests of disjoint sets add up.
type Digest struct{ hi, lo uint64 }

// Add puts one resource into the set.
func (d *Digest) Add(name, version string) { d.sum(pair(name, version)) }

// Remove takes one resource out of the set; it must be in it with this version.
func (d *Digest) Remove(name, version string) {
	p := pair(name, version)
	lo := d.lo - p.lo
	borrow := uint64(0)
	if d.lo < p.lo {
		borrow = 1
	}
	d.hi, d.lo = d.hi-p.hi-borrow, lo
}

// Merge adds a disjoint set.
func (d *Digest) Merge(o Digest) { d.sum(o) }

// Bytes is the wire form, 16 bytes.
func (d Digest) Bytes() []byte {
	b := make([]byte, 16)
	binary.BigEndian.PutUint64(b, d.hi)
	binary.BigEndian.PutUint64(b[8:], d.lo)
	return b
}

func (d *Digest) sum(p Digest) {
	lo := d.lo + p.lo
	carry := uint64(0)
	if lo < d.lo {
		carry = 1
	}
	d.hi, d.lo = d.hi+p.hi+carry, lo
}

func pair(name, version string) Digest {
	h := sha256.New()
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write([]byte(version))
	s := h.Sum(nil)
	return Digest{hi: binary.BigEndian.Uint64(s), lo: binary.BigEndian.Uint64(s[8:])}
}
