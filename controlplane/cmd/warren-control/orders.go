package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/alert"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/certwatch"
	"github.com/warrenedge/warren/controlplane/claims"
	"github.com/warrenedge/warren/controlplane/config"
	"github.com/warrenedge/warren/controlplane/gate"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/orders"
	"github.com/warrenedge/warren/controlplane/preflight"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/store/queue"
	"github.com/warrenedge/warren/controlplane/webhook"
	"github.com/warrenedge/warren/shared/daemon"
	"github.com/warrenedge/warren/shared/version"
)

// ordering makes the tasks that order certificates from authorities.
func ordering(cfg *config.Config, mailer *mail.Mailer, log *slog.Logger, reg *prometheus.Registry, db *store.Store, sealer *authority.Sealer, world *model.Current, nodes fleet) ([]daemon.Task, error) {
	var worker *orders.Worker
	var planner *orders.Planner
	hooks := webhook.New(webhook.Options{Store: db, Opener: sealer, Policy: cfg.Outbound(), UserAgent: "warren/" + version.Version, Log: log, Reg: reg})
	post := &alert.Courier{Store: db, Mail: mailer, URL: cfg.URL}
	q, err := queue.New(context.Background(), cfg.DatabaseURL.Reveal(), queue.Options{
		Replica: cfg.ReplicaID, PollOnly: cfg.QueuePollOnly, Log: log,
		Bell: func() { worker.Kick() }, Plan: func() { worker.Replan() }, Deliver: hooks.Deliver, Mail: post.Deliver,
		Upkeep: func(ctx context.Context) error { return planner.Maintain(ctx, time.Now()) },
	})
	if err != nil {
		return nil, err
	}
	asked := preflights{preflight.New(preflight.Options{Roots: cfg.Roots(), Away: nodes.away, Log: log}), world}
	worker = orders.New(orders.Options{
		Store: db, Sealer: sealer, World: world, Gate: gate.New(gate.Options{World: world, Fleet: nodes, Policy: gate.Policy(cfg.ChallengeAway), Log: log}),
		Preflight: asked, Fleet: holders{nodes, world},
		Alarm: q, Replica: cfg.ReplicaID, UserAgent: "warren/" + version.Version, Log: log, Reg: reg,
	})
	planner = orders.NewPlanner(worker)
	return []daemon.Task{worker, planner, orders.NewSurvey(worker, asked), claims.New(db, world, asked.checker, log, reg), q, certwatch.New(db, log, reg)}, nil
}

// preflights asks about the names of an order.
type preflights struct {
	checker *preflight.Checker
	world   *model.Current
}

// Check implements orders.Preflight.
func (p preflights) Check(ctx context.Context, names []string, issuer *model.Issuer) (orders.Methods, error) {
	m := p.world.Get()
	d := m.DomainCovering(names[0])
	if d == nil {
		return nil, &orders.Refusal{Reason: fmt.Sprintf("%s is in no domain", names[0])}
	}
	q := preflight.For(m, d, names, []preflight.Issuer{{Name: issuer.Name, Domains: issuer.CAADomains(), Account: issuer.AccountURL}})
	r, err := p.checker.Check(ctx, q)
	if err != nil {
		return nil, err
	}
	if !r.OK() {
		caa := !slices.ContainsFunc(r.Problems, func(b preflight.Problem) bool { return !strings.HasPrefix(string(b.Code), "caa_") })
		return nil, &orders.Refusal{Reason: r.Refusal(), CAA: caa}
	}
	out := orders.Methods{}
	for name, may := range r.Methods {
		name = strings.TrimPrefix(name, "*.")
		if have, ok := out[name]; ok { // an apex is proved by what its wildcard is proved by
			may = slices.DeleteFunc(slices.Clone(may), func(t model.ChallengeType) bool { return !slices.Contains(have.Types, t) })
		}
		out[name] = orders.Proof{Types: may, At: r.Aliases[name]}
	}
	return out, nil
}

// Survey implements orders.Surveyor.
func (p preflights) Survey(ctx context.Context, d *model.Domain, hostnames []string) (bool, []string, error) {
	return p.checker.Survey(ctx, p.world.Get(), d, hostnames)
}

// holders says which nodes do not have a certificate yet. Who is away holds up nobody: it gets the newest when it
// comes back.
type holders struct {
	nodes fleet
	world *model.Current
}

// Behind implements orders.Fleet.
func (h holders) Behind(rev model.Revision) []string {
	var ids []model.NodeID
	names := map[model.NodeID]string{}
	for n := range h.world.Get().Nodes() {
		if n.Enrolled() {
			ids, names[n.ID] = append(ids, n.ID), n.Name
		}
	}
	var out []string
	for id, s := range h.nodes.Standing(time.Now(), ids, rev) {
		if s == presence.Behind {
			out = append(out, names[id])
		}
	}
	slices.Sort(out)
	return out
}
