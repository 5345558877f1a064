package model

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/fault"
)

type (
	webhookKind struct{}
	eventKind   struct{}
)

func (webhookKind) prefix() string { return "webhook" }
func (eventKind) prefix() string   { return "event" }

// The kinds of ID of what receivers are told.
type (
	WebhookID = ID[webhookKind]
	EventID   = ID[eventKind]
)

// EventType is what has happened.
type EventType string

// Types of event.
const (
	CertificateIssued   EventType = "certificate.issued"
	CertificateFailed   EventType = "certificate.failed"   // an order came to nothing
	CertificateExpiring EventType = "certificate.expiring" // so many days are left, and there is no successor
	AlertFiring         EventType = "alert.firing"         // what a rule watches is so
	AlertResolved       EventType = "alert.resolved"       // and is not any more
	WebhookTest         EventType = "webhook.test"         // somebody asked for it; every webhook hears of its own
)

// EventTypes are those that a webhook may ask for.
var EventTypes = []EventType{CertificateIssued, CertificateFailed, CertificateExpiring, AlertFiring, AlertResolved}

// Event is something that has happened, once.
type Event struct {
	ID     EventID
	Type   EventType
	Org    OrgID  // zero: the cluster's
	Object string // what it happened to, a typed id
	Once   string // two events of a type with the same are one
	Data   json.RawMessage
	At     time.Time
}

// NewEvent makes an Event; data is what JSON can hold.
func NewEvent(typ EventType, org OrgID, object, once string, data any, now time.Time) (*Event, error) {
	b, err := json.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("event %s of %s: %w", typ, object, err)
	}
	return &Event{ID: EventID{}.New(), Type: typ, Org: org, Object: object, Once: once, Data: b, At: now.UTC().Truncate(time.Microsecond)}, nil
}

// CertificateEventData is what is told of a certificate.
type CertificateEventData struct {
	Names       []string   `json:"names"`
	Certificate string     `json:"certificate,omitempty"`
	Managed     string     `json:"managed_certificate,omitempty"`
	Order       string     `json:"order,omitempty"`
	NotAfter    *time.Time `json:"not_after,omitempty"`
	DaysLeft    *float64   `json:"days_left,omitempty"`
	Threshold   int        `json:"threshold_days,omitempty"` // which warning this is, in days of a certificate of 90
	Class       string     `json:"class,omitempty"`
	Problem     string     `json:"problem,omitempty"` // in the authority's own words
	NextAttempt *time.Time `json:"next_attempt,omitempty"`
}

// Webhook is a receiver of events.
type Webhook struct {
	ID           WebhookID
	Org          OrgID // zero: the cluster's, which hears of all organizations
	Name         string
	URL          string
	Events       []EventType // none: all
	SealedSecret []byte      // Tink AEAD over the signing key, associated data: the ID's text form
	Enabled      bool
	Meta
}

// Limits of webhooks.
const (
	MaxWebhookURL   = 2048
	MaxWebhooks     = 50   // of an organization, or of the cluster
	MaxUndelivered  = 1000 // events that wait for one webhook: what comes then is not told
	WebhookAttempts = 50   // that are remembered of each webhook
)

// WebhookRetries is how long after each attempt the next one follows: over 40 hours in all.
var WebhookRetries = []time.Duration{
	5 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 24 * time.Hour,
}

// Validate reports what is wrong with a webhook.
func (w *Webhook) Validate() error {
	if err := first(checkName(w.Name, MaxName), checkWebhookURL(w.URL)); err != nil {
		return err
	}
	for i, e := range w.Events {
		if !slices.Contains(EventTypes, e) {
			return fault.Field(fmt.Sprintf("events[%d]", i), "%q is no type of event; there are %s", e, strings.Join(eventNames(), ", "))
		}
		if slices.Contains(w.Events[:i], e) {
			return fault.Field(fmt.Sprintf("events[%d]", i), "%s is there twice", e)
		}
	}
	return nil
}

func eventNames() []string {
	var out []string
	for _, t := range EventTypes {
		out = append(out, string(t))
	}
	return out
}

func checkWebhookURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case s == "":
		return fault.Field("url", "missing")
	case len(s) > MaxWebhookURL:
		return fault.Field("url", "%d characters, want %d at most", len(s), MaxWebhookURL)
	case err != nil, u.Hostname() == "", u.Opaque != "", strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return fault.Field("url", "want https://host/path")
	case u.User != nil:
		return fault.Field("url", "want no user and password in it: the signature says who calls")
	case u.Fragment != "":
		return fault.Field("url", "want no #fragment: it is not sent")
	case u.Scheme == "https" || u.Scheme == "http" && loopbackHost(u.Hostname()):
		return nil
	}
	return fault.Field("url", "want https; http only to a loopback address")
}

func loopbackHost(host string) bool {
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// WebhookAttempt is one try to tell a receiver of an event.
type WebhookAttempt struct {
	Webhook WebhookID
	Event   EventID
	Type    EventType
	Number  int // of the tries of this event, from 1
	At      time.Time
	Took    time.Duration
	Status  int    // of the answer; 0: there was none
	Problem string // why it counts as failed; "": it was taken
	Answer  string // how it begins
}
