package alert

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// every is how often rules are looked at, by one replica; look how often each replica asks whether it is its turn.
const (
	every = 5 * time.Second
	look  = time.Second
)

// Facts is where a replica finds what was seen.
type Facts interface {
	Facts(now time.Time) *hops.Facts
}

// Evaluator carries the alerts of all rules on. Any number of replicas may run one.
type Evaluator struct {
	store *store.Store
	seen  Facts
	log   *slog.Logger
	m     metrics
}

type metrics struct {
	rounds  prometheus.Counter
	notices *prometheus.CounterVec
}

// New makes an Evaluator; Run does the work.
func New(s *store.Store, seen Facts, log *slog.Logger, reg prometheus.Registerer) *Evaluator {
	e := &Evaluator{store: s, seen: seen, log: log, m: metrics{
		rounds:  prometheus.NewCounter(prometheus.CounterOpts{Name: "cp_alert_rounds_total", Help: "Times that this replica looked at the alert rules."}),
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cp_alert_notices_total", Help: "Notices of alerts, by what they say."}, []string{"state"}),
	}}
	reg.MustRegister(e.m.rounds, e.m.notices)
	return e
}

// String names the task.
func (e *Evaluator) String() string { return "alerts" }

// Run looks at the rules, when it is this replica's turn, until ctx ends.
func (e *Evaluator) Run(ctx context.Context) error {
	tick := time.NewTicker(look)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if _, err := e.Round(ctx, time.Now()); err != nil && ctx.Err() == nil {
			e.log.Warn("alert rules not looked at", "err", err)
		}
	}
}

// Round looks at all rules if nobody has since a while, and reports whether it did. What it finds, and who is told, is
// one transaction: another replica that comes meanwhile waits, and then finds that it was done.
func (e *Evaluator) Round(ctx context.Context, now time.Time) (mine bool, err error) {
	f := e.seen.Facts(now)
	if f.Model.Revision() == 0 {
		return false, nil // this replica has read nothing yet
	}
	var told []Notice
	_, err = e.store.Tx(ctx, "worker:alerts", func(tx *store.Tx) (err error) {
		told = nil
		if mine, err = tx.ClaimAlertRound(ctx, now, now.Add(every)); err != nil || !mine {
			return err
		}
		told, err = e.round(ctx, tx, f, now)
		return err
	})
	if err != nil {
		return false, err
	}
	if mine {
		e.m.rounds.Inc()
	}
	for _, n := range told {
		e.m.notices.WithLabelValues(string(n)).Inc()
	}
	return mine, nil
}

func (e *Evaluator) round(ctx context.Context, tx *store.Tx, f *hops.Facts, now time.Time) (told []Notice, err error) {
	rules, err := tx.EnabledAlertRules(ctx)
	if err != nil || len(rules) == 0 {
		return nil, err
	}
	all, err := tx.AllAlerts(ctx)
	if err != nil {
		return nil, err
	}
	was := map[model.AlertRuleID]map[string]*model.Alert{}
	for _, a := range all {
		if was[a.Rule] == nil {
			was[a.Rule] = map[string]*model.Alert{}
		}
		was[a.Rule][a.Object] = a
	}
	if f.Finding == nil {
		found, err := tx.AllDomainFindings(ctx)
		if err != nil {
			return nil, err
		}
		f.Finding = func(id model.DomainID) *model.DomainFinding { return found[id] }
	}
	for _, r := range rules {
		rates, err := ratesOf(ctx, tx, r, now)
		if err != nil {
			return nil, err
		}
		n, err := e.rule(ctx, tx, r, was[r.ID], Conditions(r, f, rates), now)
		if told = append(told, n...); err != nil {
			return nil, fmt.Errorf("rule %s: %w", r.Name, err)
		}
	}
	return told, nil
}

// ratesOf is what a rule about errors goes by.
func ratesOf(ctx context.Context, tx *store.Tx, r *model.AlertRule, now time.Time) (Rates, error) {
	if r.Kind != model.AlertErrorRate {
		return nil, nil
	}
	sums, err := tx.SumTraffic(ctx, r.Org, model.TrafficQuery{Since: now.Add(-r.Span), Until: now, By: model.ByService}, now)
	if err != nil {
		return nil, err
	}
	out := Rates{}
	for _, s := range sums {
		out[model.ServiceID{UUID: s.Of}] = &s.Traffic
	}
	return out, nil
}

// rule carries the alerts of one rule on. What it does not watch any more, since it is gone, is over.
func (e *Evaluator) rule(ctx context.Context, tx *store.Tx, r *model.AlertRule, was map[string]*model.Alert, now []Condition, at time.Time) (told []Notice, err error) {
	there := map[string]bool{}
	for _, c := range now {
		there[c.Object] = true
	}
	for id, a := range was {
		if !there[id] {
			now = append(now, Condition{Object: id, Name: a.Name, Known: true})
		}
	}
	for _, c := range now {
		old := was[c.Object]
		next, tell := Step(r, old, c, at)
		switch {
		case next == nil && old != nil:
			err = tx.DeleteAlert(ctx, old)
		case next != nil && (old == nil || *next != *old):
			err = tx.PutAlert(ctx, next)
		}
		if err == nil && tell != Silence {
			if next == nil {
				next = old
			}
			told = append(told, tell)
			err = e.tell(ctx, tx, r, next, tell, at)
		}
		if err != nil {
			return told, err
		}
	}
	return told, nil
}

// tell raises an event, of which webhooks hear, and has it mailed.
func (e *Evaluator) tell(ctx context.Context, tx *store.Tx, r *model.AlertRule, a *model.Alert, what Notice, now time.Time) error {
	typ := map[Notice]model.EventType{Firing: model.AlertFiring, Resolved: model.AlertResolved}[what]
	data := model.AlertEventData{Rule: r.Name, Kind: r.Kind, Object: a.Object, Name: a.Name, State: string(what), Since: a.Since.UTC(), Reason: a.Reason}
	once := fmt.Sprintf("%s %s %d", r.ID, a.Object, a.Fired.UnixMicro())
	event, err := model.NewEvent(typ, r.Org, a.Object, once, data, now)
	if err != nil {
		return err
	}
	made, err := tx.RaiseEvent(ctx, event)
	if err != nil || !made {
		return err
	}
	e.log.Info("alert", "rule", r.Name, "object", a.Object, "name", a.Name, "state", string(what), "reason", a.Reason)
	return tx.MailAlert(ctx, event, r)
}
