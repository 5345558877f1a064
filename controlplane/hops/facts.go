package hops

import (
	"fmt"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/shared/identity"
)

// Evidence that is older than this says nothing any more.
const (
	// staleAttempt is how long a failed attempt of a node's traffic counts while there is no other one.
	staleAttempt = 2 * time.Minute
	// staleWay is the same of one that found no way: tunnels are watched, so that one may be up again.
	staleWay = 15 * time.Second
	// staleProbe is how long an answer from outside counts.
	staleProbe = 30 * time.Second
	// lag is how long a node may take to apply a change before that is worth a word.
	lag = 10 * time.Second
	// lossy is the share of heartbeats without an answer from which on a tunnel is not well.
	lossy = 0.1
	// due is the part of a certificate's life that is left when it should have been renewed long ago.
	due = 6
)

// Facts are what there is to go by at one moment. Functions must not block; those that are nil know nothing. Not safe
// for concurrent use.
type Facts struct {
	Model *model.Model
	Now   time.Time
	// Entry is what a node or connector last reported, Online whether it is connected anywhere.
	Entry  func(presence.Key) (presence.Entry, bool)
	Online func(presence.Key) presence.Health
	// Verdict is what health checks say of a target.
	Verdict func(*model.Target) presence.Verdict
	// Behind reports whether a node lacks a change that concerns it, and was committed a while ago.
	Behind func(model.NodeID) bool
	// Older is the serial of a zone that a node has served for a while although it should serve a newer one, which is that of
	// the revision that it needs; nil: it does not.
	Older func(model.NodeID) *Serials
	// Outside is what somebody outside saw of a node's public addresses.
	Outside func(model.NodeID) Sight
	// Finding is what the DNS said of a domain; nil: nothing was found out.
	Finding func(model.DomainID) *model.DomainFinding
	// NodeName is what the reader may know a node by; nil: its name.
	NodeName func(*model.Node) string

	tunnels map[model.NodeID][2]int // tunnels that are up, and all, once they were counted
	into    map[model.SiteID]Part   // ways into sites, once they were looked at
	tried   map[model.PoolID]failing
}

// Sight is what was seen of a node from outside. What nobody looked at is zero.
type Sight struct {
	TLS, DNS Answer
	Older    bool // it has shown, for a while, a certificate that another one has taken the place of
}

// Answer is what a node answered when it was asked as a client asks.
type Answer struct {
	At     time.Time // when it was asked last; zero: never, or by somebody whom no node answers
	Err    string    // why there was no answer, at least twice in a row; "": there was
	Silent bool      // there was none
	Serial *uint32   // of DNS, the zone's; nil: none was said
}

// Serials are the serial of a zone that is served, and the one that should be.
type Serials struct{ Is, Want uint32 }

func (a Answer) fresh(now time.Time) bool { return !a.At.IsZero() && now.Sub(a.At) < staleProbe }

// silent reports whether there was no answer lately, fine whether there was one.
func (a Answer) silent(now time.Time) bool { return a.fresh(now) && a.Silent }
func (a Answer) fine(now time.Time) bool   { return a.fresh(now) && !a.Silent }

func (f *Facts) entry(kind identity.Kind, id string) (presence.Entry, bool) {
	if f.Entry == nil {
		return presence.Entry{}, false
	}
	return f.Entry(presence.Key{Kind: kind, ID: id})
}

func (f *Facts) online(kind identity.Kind, id string) presence.Health {
	if f.Online == nil {
		return presence.Unknown
	}
	return f.Online(presence.Key{Kind: kind, ID: id})
}

func (f *Facts) sight(id model.NodeID) Sight {
	if f.Outside == nil {
		return Sight{}
	}
	return f.Outside(id)
}

func (f *Facts) nodeName(n *model.Node) string {
	if f.NodeName != nil {
		return f.NodeName(n)
	}
	return n.Name
}

func (f *Facts) older(id model.NodeID) *Serials {
	if f.Older == nil {
		return nil
	}
	return f.Older(id)
}

// String says what is wrong with them.
func (s *Serials) String() string {
	return fmt.Sprintf("serial %d of its zones, older than %d, which it should", s.Is, s.Want)
}
