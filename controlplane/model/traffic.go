package model

import (
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/shared/loglinear"
)

// Decisions about requests, connections and flows.
const (
	DecisionAllowed  = "allowed"
	DecisionDenied   = "denied"   // by who may come
	DecisionSignIn   = "sign_in"  // whoever comes was asked to show who he is
	DecisionRefused  = "refused"  // for another reason: no target, two readings, too many
	DecisionAnswered = "answered" // by the node itself: sign-in, sign-out
)

// Decisions are all of them.
var Decisions = []string{DecisionAllowed, DecisionDenied, DecisionSignIn, DecisionRefused, DecisionAnswered}

// Request is what became of a request, connection or flow of a client, as a node measured it. Names are those of then.
type Request struct {
	ID  uuid.UUID
	At  time.Time // when it was over
	Org OrgID

	Kind        ServiceKind
	Service     ServiceID
	ServiceName string
	Node        NodeID
	NodeName    string
	Site        SiteID // zero: no target was reached
	SiteName    string
	Target      TargetID
	Relay       NodeID // the node that passed it on; zero: none did

	Client             netip.Addr
	Method, Host, Path string // of HTTP
	Visitor            string // who had signed in
	Status             int    // 0: not HTTP, or no answer

	In, Out                  int64 // bytes from the client, and to it
	Decide, FirstByte, Total time.Duration

	Decision string
	Reason   string
	Error    string // why there was no whole answer of a target
}

// RequestFilter selects requests. What is zero selects all.
type RequestFilter struct {
	Service, Site, Node string // by name or id
	Statuses            [2]int // first and last
	Method, Host        string
	PathPrefix          string
	Client              netip.Prefix
	Visitor             string
	Decision            string
	Since, Until        time.Time
}

// RequestMark is a place in a list of requests, the newest first.
type RequestMark struct {
	At time.Time
	ID uuid.UUID
}

// Validate says what selects nothing that there can be.
func (f *RequestFilter) Validate() error {
	for _, t := range []struct{ field, text string }{
		{"service", f.Service}, {"site", f.Site}, {"node", f.Node}, {"method", f.Method}, {"host", f.Host}, {"path", f.PathPrefix}, {"user", f.Visitor},
	} {
		if strings.ContainsRune(t.text, 0) || strings.ToValidUTF8(t.text, "") != t.text {
			return fault.Field(t.field, "want UTF-8 without NUL")
		}
	}
	if s := f.Statuses; s != [2]int{} && (s[0] < 100 || s[1] > 599 || s[0] > s[1]) {
		return fault.Field("status", "%d to %d, want within 100 to 599", s[0], s[1])
	}
	if f.PathPrefix != "" && f.PathPrefix[0] != '/' {
		return fault.Field("path", "%q, want it to start with /", f.PathPrefix)
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return fault.Field("until", "not after since")
	}
	for _, d := range Decisions {
		if f.Decision == "" || f.Decision == d {
			return nil
		}
	}
	return fault.Field("decision", "%q, want one of %s", f.Decision, strings.Join(Decisions, ", "))
}

// Matches says what the database says: whether a request is selected.
func (f *RequestFilter) Matches(r *Request) bool {
	is := func(want, name, id string) bool { return want == "" || want == name || want == id }
	return is(f.Service, r.ServiceName, r.Service.String()) && is(f.Site, r.SiteName, r.Site.String()) && is(f.Node, r.NodeName, r.Node.String()) &&
		(f.Statuses == [2]int{} || r.Status >= f.Statuses[0] && r.Status <= f.Statuses[1]) &&
		is(f.Method, r.Method, "") && is(f.Host, r.Host, "") && strings.HasPrefix(r.Path, f.PathPrefix) &&
		(!f.Client.IsValid() || f.Client.Contains(r.Client)) && is(f.Visitor, r.Visitor, "") && is(f.Decision, r.Decision, "") &&
		(f.Since.IsZero() || !r.At.Before(f.Since)) && (f.Until.IsZero() || r.At.Before(f.Until))
}

// StatusClasses are how Traffic counts statuses: those without one, 1xx to 5xx.
const StatusClasses = 6

// Traffic is how much there was in some time.
type Traffic struct {
	Requests int64
	Statuses [StatusClasses]int64
	Denied   int64 // of them: by who may come
	Failed   int64 // of them: that got no whole answer of a target, or an error of 5xx
	In, Out  int64 // bytes
	Unlogged int64 // of them: that the request log does not have
	Took     loglinear.Counts
}

// The windows that traffic is counted in, and for how long they are kept.
const (
	TrafficFine       = 15 * time.Second
	TrafficCoarse     = 5 * time.Minute
	TrafficFineKept   = 24 * time.Hour
	TrafficCoarseKept = 30 * 24 * time.Hour
)

// NodeTraffic is what a node counted of a service and a site in a window of TrafficFine.
type NodeTraffic struct {
	At      time.Time // when the window begins
	Org     OrgID
	Service ServiceID
	Site    SiteID // zero: no target was reached
	Node    NodeID
	Process int64
	Traffic
}

// TrafficBy is what traffic is added up by, beside time.
type TrafficBy string

// What traffic is added up by.
const (
	ByNothing TrafficBy = ""
	ByService TrafficBy = "service"
	BySite    TrafficBy = "site"
	ByNode    TrafficBy = "node" // of windows of TrafficFine only
)

// TrafficQuery selects traffic of an organization.
type TrafficQuery struct {
	Service      ServiceID // zero: all
	Site         SiteID    // zero: all
	Since, Until time.Time
	Step         time.Duration // 0: all of the time together
	By           TrafficBy
}

// TrafficSum is traffic that was added up.
type TrafficSum struct {
	At time.Time // when the step begins; of no step: Since
	Of uuid.UUID // a service, site or node; zero: added up by nothing, or no site
	Traffic
}

// Days that a request log may be kept.
const (
	RequestLogDays    = 7
	MaxRequestLogDays = 90
)

// RequestGap is requests of a service that its log does not have, because a node had no room for them.
type RequestGap struct {
	At          time.Time // when the window begins in which they were
	Org         OrgID
	Service     ServiceID
	ServiceName string
	Requests    int64
}
