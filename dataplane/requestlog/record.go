// Package requestlog keeps what became of requests until it is told, without making them wait.
//
// Who serves a request adds one record when it is over: under a lock of some hundred nanoseconds, into a place that is there
// already. How much there was of what is counted there and then, so that it is right even where records have no room. A
// record without room is not kept, and counted as such.
package requestlog

import (
	"net/netip"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/shared/policy"
)

// Kind is what a record is of.
type Kind uint8

// Kinds.
const (
	HTTP Kind = iota // a request
	TLS              // a connection that was found by its name
	TCP              // a connection to a port
	UDP              // a flow: all of a client until it fell silent
)

var kindNames = [...]string{"http", "tls", "tcp", "udp"}

func (k Kind) String() string { return kindNames[k] }

// Decision is what became of it at the node.
type Decision uint8

// Decisions.
const (
	Allowed  Decision = iota
	Denied            // by who may come
	SignIn            // whoever comes was asked to show who he is
	Refused           // for another reason
	Answered          // by the node itself
)

var decisionNames = [...]string{"allowed", "denied", "sign_in", "refused", "answered"}

func (d Decision) String() string { return decisionNames[d] }

// Record is what became of a request, connection or flow.
type Record struct {
	At      time.Time // when it was over
	ID      uuid.UUID
	Kind    Kind
	Service string // id
	Site    string // id; "": no target was reached
	Target  string // id
	Relay   string // id of the node that passed it on; "": none did

	Client             netip.Addr
	Method, Host, Path string // of HTTP; no query: it may hold credentials
	User               string // who had signed in
	Status             int    // 0: not HTTP, or no answer

	In, Out   int64         // bytes from the client, and to it
	Decide    time.Duration // until it was decided who comes
	FirstByte time.Duration // until the target's answer began; of what is not HTTP until the target was connected
	Total     time.Duration

	Decision Decision
	ByPolicy bool            // a policy has decided:
	Policy   policy.Decision // so
	Reason   string          // why, if no policy has
	Error    string          // why there was no whole answer of a target
}

// Why says why it was decided so.
func (r *Record) Why() string {
	if r.ByPolicy {
		return r.Policy.Why()
	}
	return r.Reason
}

// Failed reports whether there was no whole answer of a target, or one that says that it failed.
func (r *Record) Failed() bool { return r.Error != "" || r.Status >= 500 }

// NewID is the id of a connection or flow.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
