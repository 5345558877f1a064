package model

import (
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
)

type alertRuleKind struct{}

func (alertRuleKind) prefix() string { return "alertrule" }

// AlertRuleID is the kind of ID of a rule.
type AlertRuleID = ID[alertRuleKind]

// AlertKind is what a rule watches.
type AlertKind string

// Kinds of rule. Those of nodes are the cluster's, the others an organization's.
const (
	AlertSiteDown        AlertKind = "site_down"
	AlertServiceDown     AlertKind = "service_down" // whichever hop is broken
	AlertTargetUnhealthy AlertKind = "target_unhealthy"
	AlertCertificateDue  AlertKind = "certificate_due" // it was not renewed, is not valid, or is missing
	AlertErrorRate       AlertKind = "error_rate"
	AlertNodeDown        AlertKind = "node_down"
	AlertNodeOutOfSync   AlertKind = "node_out_of_sync"
)

// AlertKinds are the kinds of rule of an organization, or of the cluster.
func AlertKinds(cluster bool) []AlertKind {
	if cluster {
		return []AlertKind{AlertNodeDown, AlertNodeOutOfSync}
	}
	return []AlertKind{AlertSiteDown, AlertServiceDown, AlertTargetUnhealthy, AlertCertificateDue, AlertErrorRate}
}

// Limits of rules.
const (
	MaxAlertRules = 100 // of an organization, or of the cluster
	MaxAlertMail  = 10  // addresses of a rule
	MaxAlertHold  = 24 * time.Hour
	MinAlertSpan  = time.Minute
	MaxAlertSpan  = time.Hour
	MaxSilence    = 90 * 24 * time.Hour
)

// AlertRule says about what somebody is told, and whom. Webhooks that ask for alerts hear of all.
type AlertRule struct {
	ID       AlertRuleID
	Org      OrgID // zero: the cluster's
	Name     string
	Kind     AlertKind
	Object   string        // typed id of the one thing that is watched; "": all
	Hold     time.Duration // how long it has to be so before anybody is told, and over before it is
	Percent  float64       // of an error rate: more is too much
	Span     time.Duration // of an error rate: over how long
	Mail     []string      // addresses
	Enabled  bool
	Silenced time.Time // nobody is told until then; zero: not silenced
	Meta
}

// Validate reports what is wrong with a rule.
func (r *AlertRule) Validate() error {
	if err := checkName(r.Name, MaxName); err != nil {
		return err
	}
	kinds := AlertKinds(r.Org.IsZero())
	rate := r.Kind == AlertErrorRate
	switch {
	case !slices.Contains(kinds, r.Kind):
		return fault.Field("kind", "%q, want one of %s", r.Kind, joinKinds(kinds))
	case r.Hold < 0 || r.Hold > MaxAlertHold:
		return fault.Field("for", "%v, want 0s to %v", r.Hold, MaxAlertHold)
	case rate && !(r.Percent > 0 && r.Percent < 100):
		return fault.Field("percent", "%v, want more than 0 and less than 100", r.Percent)
	case rate && (r.Span < MinAlertSpan || r.Span > MaxAlertSpan):
		return fault.Field("window", "%v, want %v to %v", r.Span, MinAlertSpan, MaxAlertSpan)
	case !rate && r.Percent != 0:
		return fault.Field("percent", "of rules of kind %s only", AlertErrorRate)
	case !rate && r.Span != 0:
		return fault.Field("window", "of rules of kind %s only", AlertErrorRate)
	case len(r.Mail) > MaxAlertMail:
		return fault.Field("mail", "%d addresses, want %d at most", len(r.Mail), MaxAlertMail)
	}
	for i, text := range r.Mail {
		if a, err := mail.ParseAddress(text); err != nil || a.Address != text || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return fault.Field(fmt.Sprintf("mail[%d]", i), "%q, want an address such as ops@example.org", text)
		}
		if slices.Contains(r.Mail[:i], text) {
			return fault.Field(fmt.Sprintf("mail[%d]", i), "%s is there twice", text)
		}
	}
	return nil
}

func joinKinds(list []AlertKind) string {
	var out []string
	for _, k := range list {
		out = append(out, string(k))
	}
	return strings.Join(out, ", ")
}

// Alert is that what a rule watches is so of one thing, or was a moment ago.
type Alert struct {
	Rule   AlertRuleID
	Org    OrgID
	Object string // typed id
	Name   string
	Since  time.Time // when it began
	Fired  time.Time // when it had been so for long enough; zero: not yet
	Clear  time.Time // since when it is not so any more; zero: it is
	Told   bool      // somebody was told that it fires
	Reason string

	Acked   time.Time // when somebody has said that he knows of it; zero: nobody has
	AckedBy string    // his name
}

// AlertEventData is what is told of an alert.
type AlertEventData struct {
	Rule   string    `json:"rule"`
	Kind   AlertKind `json:"kind"`
	Object string    `json:"object"`
	Name   string    `json:"name"`
	State  string    `json:"state"` // firing or resolved
	Since  time.Time `json:"since"`
	Reason string    `json:"reason,omitempty"` // why it fires, or did last
}

// AlertMail is a message about an alert to one address.
type AlertMail struct {
	Event   EventID
	Rule    AlertRuleID
	Org     OrgID
	Address string
	Attempt int       // of the last try; 0: there was none yet
	At      time.Time // of the last try
	Sent    bool
	Problem string // of the last try
	Type    EventType
}
