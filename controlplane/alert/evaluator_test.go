package alert

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/model/modeltest"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const rows = `
	organization acme
	organization other
	pool edge
	node n1 pool=edge addresses=192.0.2.1 enrolled
	site home organization=acme pool=edge
	site far organization=other pool=edge
	connector c1 organization=acme site=home enrolled
	connector c2 organization=other site=far enrolled
	service wiki organization=acme pool=edge kind=tcp ports=80
	target app organization=acme service=wiki site=home address=10.0.0.1 port=80 path=/ weight=1
`

// view is what a replica sees: whether all connectors are away, or nothing at all.
type view struct {
	model *model.Model
	mu    sync.Mutex
	is    presence.Health // guarded by mu; of connectors
}

func newView(t *testing.T) *view {
	b, err := modeltest.Parse(0, rows)
	if err != nil {
		t.Fatal(err)
	}
	return &view{model: model.Empty().Apply(b), is: presence.Up}
}

func (v *view) see(is presence.Health) { v.mu.Lock(); defer v.mu.Unlock(); v.is = is }

func (v *view) Facts(now time.Time) *hops.Facts {
	v.mu.Lock()
	defer v.mu.Unlock()
	is := v.is
	return &hops.Facts{
		Model: v.model, Now: now, Online: func(presence.Key) presence.Health { return is },
		Entry: func(k presence.Key) (presence.Entry, bool) {
			e := presence.Entry{Key: k, Seen: now, Applied: 1}
			for n := range v.model.Nodes() {
				e.Tunnels = append(e.Tunnels, presence.Tunnel{Peer: n.ID.String(), Up: true})
			}
			return e, is == presence.Up
		},
	}
}

// post keeps what is mailed.
type post struct {
	sent []mail.Message
	err  error
}

func (p *post) SendNow(_ context.Context, m mail.Message) error {
	if p.err == nil {
		p.sent = append(p.sent, m)
	}
	return p.err
}

// Two replicas look at the rules for some minutes in which a site goes away, flaps and comes back: one notice says that it
// is down, one that it is over, of its own organization's rule alone, with a message to each address. A replica that knows
// nothing, and one that takes over, add none.
func TestOneNoticeOverReplicas(t *testing.T) {
	db := storetest.New(t)
	a, b := newView(t), newView(t)
	acme := &model.Organization{ID: model.OrgID{UUID: modeltest.UUID("organization", "acme")}, Name: "acme"}
	rule := &model.AlertRule{ID: model.AlertRuleID{}.New(), Org: acme.ID, Name: "sites", Kind: model.AlertSiteDown, Hold: time.Minute, Mail: []string{"ops@example.org", "boss@example.org"}, Enabled: true}
	off := &model.AlertRule{ID: model.AlertRuleID{}.New(), Org: acme.ID, Name: "off", Kind: model.AlertSiteDown}
	hook := &model.Webhook{ID: model.WebhookID{}.New(), Org: acme.ID, Name: "all", URL: "https://hooks.example/", SealedSecret: []byte{1, 0, 0, 0, 0, 1}, Enabled: true}
	in := func(fn func(ctx context.Context, tx *store.Tx) error) {
		t.Helper()
		if _, err := db.Tx(t.Context(), "test", func(tx *store.Tx) error { return fn(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
	}
	in(func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.CreateOrganization(ctx, acme), tx.CreateAlertRule(ctx, rule), tx.CreateAlertRule(ctx, off), tx.CreateWebhook(ctx, hook))
	})
	replica := func(v *view) *Evaluator { return New(db, v, slog.New(slog.DiscardHandler), prometheus.NewRegistry()) }
	replicas := []*Evaluator{replica(a), replica(b)}
	now, rounds := start, 0
	pass := func(d time.Duration, is presence.Health) {
		a.see(is)
		b.see(is)
		for end := now.Add(d); now.Before(end); now = now.Add(every / 2) { // each second look is nobody's turn
			var all sync.WaitGroup
			mine := make([]bool, len(replicas))
			for i, e := range replicas {
				all.Go(func() {
					var err error
					if mine[i], err = e.Round(t.Context(), now); err != nil {
						t.Errorf("%v: %v", now, err)
					}
				})
			}
			all.Wait()
			if len(mine) > 1 && mine[0] && mine[1] {
				t.Errorf("%v: both replicas looked", now)
			}
			if slices.Contains(mine, true) {
				rounds++
			}
		}
	}
	pass(20*time.Second, presence.Up)
	pass(70*time.Second, presence.Down)
	replicas[0] = replica(a) // it was restarted
	pass(10*time.Second, presence.Up)
	in(func(ctx context.Context, tx *store.Tx) error {
		all, err := tx.AllAlerts(ctx)
		if err != nil || len(all) != 1 {
			return errors.Join(err, errors.New("want one alert"))
		}
		all[0].Acked, all[0].AckedBy = now, "ann"
		return tx.AcknowledgeAlert(ctx, all[0])
	})
	pass(10*time.Second, presence.Down)
	pass(30*time.Second, presence.Unknown)
	in(func(ctx context.Context, tx *store.Tx) error { // who knows of it stays
		all, err := tx.AllAlerts(ctx)
		if err == nil && (len(all) != 1 || all[0].AckedBy != "ann" || !all[0].Acked.Equal(now.Add(-40*time.Second))) {
			t.Errorf("%d alerts: %+v", len(all), all)
		}
		return err
	})
	replicas = replicas[1:] // it is gone
	pass(90*time.Second, presence.Up)
	if want := int(now.Sub(start)/every) + 1; rounds < want-2 || rounds > want {
		t.Errorf("%d rounds in %v", rounds, now.Sub(start))
	}

	var told []string
	courier := &Courier{Store: db, Mail: &post{err: errors.New("mailbox full")}}
	out := &post{}
	in(func(ctx context.Context, tx *store.Tx) error {
		for _, typ := range []model.EventType{model.AlertFiring, model.AlertResolved} {
			events, err := tx.ListEvents(ctx, typ)
			if err != nil {
				return err
			}
			for _, e := range events {
				var d model.AlertEventData
				if err := json.Unmarshal(e.Data, &d); err != nil {
					return err
				}
				told = append(told, string(e.Type)+" "+d.Rule+" "+d.Name+" "+d.State)
				if waits, err := tx.Undelivered(ctx, hook.ID, e.ID); err != nil || !waits || e.Org != acme.ID {
					t.Errorf("%+v is not to be told: %v", e, err)
				}
			}
		}
		left, err := tx.AllAlerts(ctx)
		if len(left) > 0 {
			t.Errorf("still there: %+v", left[0])
		}
		return err
	})
	if want := []string{"alert.firing sites home firing", "alert.resolved sites home resolved"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	mails := func() (list []*model.AlertMail) {
		in(func(ctx context.Context, tx *store.Tx) (err error) {
			list, err = tx.ListAlertMails(ctx, rule.ID, 10)
			return err
		})
		return list
	}
	list := mails()
	if len(list) != 4 {
		t.Fatalf("%d messages, want one to each address for each notice", len(list))
	}
	m := list[len(list)-1]
	if err := courier.Deliver(t.Context(), m.Event, m.Address, 1); err == nil {
		t.Error("a message that was not sent counts as sent")
	}
	courier.Mail = out
	for attempt := 2; attempt < 4; attempt++ { // the second of them finds that it was sent
		if err := courier.Deliver(t.Context(), m.Event, m.Address, attempt); err != nil {
			t.Error(err)
		}
	}
	if len(out.sent) != 1 || out.sent[0].To != m.Address || !strings.Contains(out.sent[0].Subject, "site home is down") || !strings.Contains(out.sent[0].Text, "warren alert silence sites") {
		t.Errorf("%+v", out.sent)
	}
	for _, v := range mails() {
		if v.Event == m.Event && v.Address == m.Address && (!v.Sent || v.Attempt != 2 || v.Problem != "") {
			t.Errorf("%+v", v)
		}
	}
}

func TestConditions(t *testing.T) {
	v := newView(t)
	v.see(presence.Down)
	f := v.Facts(start)
	org := model.OrgID{UUID: modeltest.UUID("organization", "acme")}
	service := model.ServiceID{UUID: modeltest.UUID("service", "wiki")}
	rates := Rates{service: {Requests: 100, Failed: 7}}
	for _, tt := range []struct {
		rule model.AlertRule
		bad  string
		all  int
	}{
		{model.AlertRule{Org: org, Kind: model.AlertSiteDown}, "home", 1},
		{model.AlertRule{Org: org, Kind: model.AlertSiteDown, Object: "site_another"}, "", 0},
		{model.AlertRule{Org: org, Kind: model.AlertServiceDown}, "wiki", 1},
		{model.AlertRule{Org: org, Kind: model.AlertCertificateDue}, "", 0},
		{model.AlertRule{Org: org, Kind: model.AlertTargetUnhealthy}, "", 1},
		{model.AlertRule{Org: org, Kind: model.AlertErrorRate, Percent: 5, Span: time.Minute}, "wiki", 1},
		{model.AlertRule{Org: org, Kind: model.AlertErrorRate, Percent: 7, Span: time.Minute}, "", 1},
		{model.AlertRule{Kind: model.AlertNodeDown}, "n1", 1},
		{model.AlertRule{Kind: model.AlertNodeOutOfSync}, "", 1},
	} {
		list := Conditions(&tt.rule, f, rates)
		bad := ""
		for _, c := range list {
			if c.Bad {
				bad += c.Name
				if c.Reason == "" || c.Object == "" {
					t.Errorf("%s: %+v", tt.rule.Kind, c)
				}
			}
		}
		if bad != tt.bad || len(list) != tt.all {
			t.Errorf("%s: bad are %q of %d, want %q of %d", tt.rule.Kind, bad, len(list), tt.bad, tt.all)
		}
	}
	v.see(presence.Up)
	f = v.Facts(start)
	f.Older = func(model.NodeID) *hops.Serials { return &hops.Serials{Is: 6, Want: 7} }
	if list := Conditions(&model.AlertRule{Kind: model.AlertNodeOutOfSync}, f, rates); !list[0].Bad || !strings.Contains(list[0].Reason, "serial 6") {
		t.Errorf("its DNS serves an older serial: %+v", list)
	}
	f = v.Facts(start)
	f.Outside = func(model.NodeID) hops.Sight {
		return hops.Sight{TLS: hops.Answer{At: start}, Older: true}
	}
	if list := Conditions(&model.AlertRule{Kind: model.AlertNodeOutOfSync}, f, rates); !list[0].Bad || !strings.Contains(list[0].Reason, "a certificate that another one") {
		t.Errorf("it shows an older certificate: %+v", list)
	}
	rates[service].Requests = minRequests - 1
	if list := Conditions(&model.AlertRule{Org: org, Kind: model.AlertErrorRate, Percent: 5}, f, rates); list[0].Bad {
		t.Error("a few requests count")
	}
}
