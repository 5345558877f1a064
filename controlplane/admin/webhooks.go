package admin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/netip"
	"net/url"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// WebhookSpec is what is written of a webhook.
type WebhookSpec struct {
	URL     string            `json:"url" minLength:"1" maxLength:"2048" doc:"Where events are posted to: https, or http to a loopback address. Private addresses are reached only where the control plane's outbound_networks has them; redirects are not followed"`
	Events  []model.EventType `json:"events,omitempty" maxItems:"64" enum:"certificate.issued,certificate.failed,certificate.expiring,alert.firing,alert.resolved" doc:"Types of event to hear of; all of them, later ones included, if absent"`
	Enabled *bool             `json:"enabled,omitempty" doc:"true if absent. What waits to be told is forgotten when a webhook is disabled"`
}

// Webhook is a receiver of events, of one organization, or of all.
type Webhook struct {
	Meta
	Organization string            `json:"organization,omitempty" doc:"Absent of one of the cluster, which hears of all organizations"`
	URL          string            `json:"url"`
	Events       []model.EventType `json:"events,omitempty"`
	Enabled      bool              `json:"enabled" doc:"A receiver that answers 410 disables its webhook"`
	Secret       string            `json:"secret,omitempty" readOnly:"true" doc:"The key that events are signed with (standardwebhooks.com); shown once, when it is made"`
}

// WebhookAttempt is one try to tell a receiver of an event.
type WebhookAttempt struct {
	Event   string          `json:"event" doc:"By id; a receiver finds it in the header webhook-id"`
	Type    model.EventType `json:"type"`
	Attempt int             `json:"attempt"`
	At      time.Time       `json:"at"`
	Took    string          `json:"took"`
	OK      bool            `json:"ok"`
	Status  int             `json:"status,omitempty" doc:"Of the answer; absent: there was none"`
	Problem string          `json:"problem,omitempty"`
	Answer  string          `json:"answer,omitempty" doc:"How it begins, as the receiver sent it"`
}

// WebhookTest says which event was made to test a webhook.
type WebhookTest struct {
	Event string `json:"event"`
}

// Outbound knows which addresses may be reached.
type Outbound interface {
	Check(netip.Addr) error
}

// webhooks are those of organizations, or the cluster's.
func webhooks(a *Admin, inOrg bool) *Collection[model.Webhook, WebhookSpec, Webhook] {
	k := &Collection[model.Webhook, WebhookSpec, Webhook]{
		a: a, kind: "webhook", inOrg: inOrg, apart: true, read: access.ClusterWebhooksRead, write: access.ClusterWebhooksManage,
		byRef:  webhookByRef,
		list:   func(c *call, p store.Page) ([]*model.Webhook, error) { return c.tx.ListWebhooks(c, c.org, p) },
		after:  func(v *model.Webhook) string { return v.Name },
		build:  buildWebhook,
		create: createWebhook,
		update: updateWebhook,
		drop:   func(c *call, v *model.Webhook) error { return c.tx.DeleteWebhook(c, v.ID) },
		view:   viewWebhook,
	}
	if inOrg {
		k.read, k.write = access.WebhooksRead, access.WebhooksManage
	}
	return k
}

func webhookByRef(c *call, ref string) (*model.Webhook, error) {
	id, err := model.WebhookID{}.Parse(ref)
	if err != nil {
		return c.tx.GetWebhookByName(c, c.org, ref)
	}
	v, err := c.tx.GetWebhook(c, id)
	if err == nil && v.Org != c.org {
		return nil, notHere("webhook")
	}
	return v, err
}

func buildWebhook(c *call, old *model.Webhook, name string, s WebhookSpec) (*model.Webhook, error) {
	v := &model.Webhook{ID: model.WebhookID{}.New(), Org: c.org, Name: name}
	if old != nil {
		*v = *old
	}
	v.URL, v.Events, v.Enabled = s.URL, s.Events, s.Enabled == nil || *s.Enabled
	if len(v.Events) == 0 {
		v.Events = nil
	}
	if err := v.Validate(); err != nil {
		return nil, err
	}
	if err := c.a.reachable(v.URL); err != nil {
		return nil, err
	}
	if old != nil {
		return v, nil
	}
	return v, c.sign(v)
}

// reachable refuses at once what a delivery would refuse each time: an address that is not of the internet. What a
// name resolves to is not asked here.
func (a *Admin) reachable(text string) error {
	u, err := url.Parse(text)
	if err != nil || a.Outbound == nil {
		return err
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if u.Hostname() == "localhost" {
		addr, err = netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	if err != nil {
		return nil // a name
	}
	if err := a.Outbound.Check(addr); err != nil {
		return fault.Field("url", "%v; the control plane's outbound_networks says what is all the same", err)
	}
	return nil
}

// sign gives a webhook a new signing key, which the answer of the call shows.
func (c *call) sign(v *model.Webhook) (err error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails since Go 1.24
	c.secret = "whsec_" + base64.StdEncoding.EncodeToString(key)
	v.SealedSecret, err = c.a.sealer.Seal(key, v.ID.String())
	return err
}

func createWebhook(c *call, v *model.Webhook) error {
	n, err := c.tx.CountWebhooks(c, v.Org)
	if err != nil {
		return err
	}
	if n >= model.MaxWebhooks {
		return fault.New(fault.Conflict, "there are %d webhooks already", n)
	}
	return c.tx.CreateWebhook(c, v)
}

func updateWebhook(c *call, v *model.Webhook) (bool, error) {
	changed, err := c.tx.UpdateWebhook(c, v)
	if err == nil && changed && !v.Enabled {
		err = c.tx.DisableWebhook(c, v.ID)
	}
	return changed, err
}

func viewWebhook(c *call, v *model.Webhook) (out Webhook, err error) {
	out = Webhook{Meta: meta(v.ID.String(), v.Name, v.Meta), URL: v.URL, Events: v.Events, Enabled: v.Enabled, Secret: c.secret}
	if !v.Org.IsZero() {
		out.Organization, err = c.orgName(v.Org)
	}
	return out, err
}

// WebhookAttempts returns what came of telling a receiver, the newest first.
func (a *Admin) WebhookAttempts(ctx context.Context, p access.Principal, org, ref string) (out []WebhookAttempt, err error) {
	k := a.webhooksOf(org)
	err = a.read(ctx, p, func(c *call) error {
		if err := k.begin(c, k.read, org); err != nil {
			return err
		}
		v, err := webhookByRef(c, ref)
		if err != nil {
			return err
		}
		rows, err := c.tx.ListWebhookAttempts(c, v.ID, model.WebhookAttempts)
		out = []WebhookAttempt{}
		for _, r := range rows {
			out = append(out, WebhookAttempt{
				Event: r.Event.String(), Type: r.Type, Attempt: r.Number, At: r.At.UTC(), Took: r.Took.String(), OK: r.Problem == "", Status: r.Status,
				Problem: r.Problem, Answer: r.Answer,
			})
		}
		return err
	})
	return out, err
}

// TestWebhook has an event made that only this receiver is told of, once, disabled or not.
func (a *Admin) TestWebhook(ctx context.Context, p access.Principal, org, ref string) (out WebhookTest, err error) {
	k := a.webhooksOf(org)
	_, err = k.do(ctx, p, org, "test", func(c *call) error {
		v, err := webhookByRef(c, ref)
		if err != nil {
			return err
		}
		now := time.Now()
		e, err := model.NewEvent(model.WebhookTest, v.Org, v.ID.String(), model.EventID{}.New().String(), map[string]string{"webhook": v.Name}, now)
		if err != nil {
			return err
		}
		out.Event = e.ID.String()
		k.did(c, "test", v)
		return c.tx.RaiseEventFor(c, e, v.ID)
	})
	return out, err
}

// RotateWebhookSecret gives a webhook another signing key and returns it, once. The old one signs nothing more.
func (a *Admin) RotateWebhookSecret(ctx context.Context, p access.Principal, org, ref string) (Webhook, error) {
	k := a.webhooksOf(org)
	v, _, err := k.change(ctx, p, org, ref, "rotate-secret", k.write, func(c *call, v *model.Webhook) error { return c.sign(v) })
	return v, err
}

// webhooksOf is the collection of an organization, or the cluster's if that is "".
func (a *Admin) webhooksOf(org string) *Collection[model.Webhook, WebhookSpec, Webhook] {
	if org == "" {
		return a.ClusterWebhooks
	}
	return a.Webhooks
}
