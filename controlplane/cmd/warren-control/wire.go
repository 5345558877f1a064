package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/accesskey"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/alert"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/config"
	"github.com/warrenedge/warren/controlplane/console"
	"github.com/warrenedge/warren/controlplane/feed"
	"github.com/warrenedge/warren/controlplane/forwarded"
	"github.com/warrenedge/warren/controlplane/gossipkey"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/mail"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/outside"
	"github.com/warrenedge/warren/controlplane/passing"
	"github.com/warrenedge/warren/controlplane/preflight"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/publish"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/reference"
	"github.com/warrenedge/warren/controlplane/rest"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/tail"
	"github.com/warrenedge/warren/controlplane/ticketkey"
	"github.com/warrenedge/warren/controlplane/traffic"
	"github.com/warrenedge/warren/controlplane/visit"
	"github.com/warrenedge/warren/shared/adminhttp"
	"github.com/warrenedge/warren/shared/daemon"
)

// foundation is what a replica stands on before anything runs.
type foundation struct {
	cfg     *config.Config
	log     *slog.Logger
	reg     *prometheus.Registry
	db      *store.Store
	sealer  *authority.Sealer
	cluster *admin.Cluster
}

// instance is what the roles of a replica share: the model and who follows it, and the write side.
type instance struct {
	foundation
	world   *model.Current
	seen    *presence.Store
	pusher  *push.Server
	changes *feed.Feed
	way     *hops.Source
	issuer  *certs.Issuer
	admin   *admin.Admin
	visits  *visit.Server
	tails   *tail.Hub
	counted *store.Store // for traffic: sums over many rows take connections of their own
	mailer  *mail.Mailer
}

// wire makes the tasks, in the order in which a change passes: rows, model, streams; then who asks and who watches.
func wire(f foundation) ([]daemon.Task, error) {
	r, tasks, err := f.core()
	if err != nil {
		return nil, err
	}
	for _, role := range []struct {
		name  string
		tasks func() ([]daemon.Task, error)
	}{{config.RolePush, r.push}, {config.RoleWorker, r.workers}, {config.RoleAPI, r.api}} {
		if !f.cfg.Has(role.name) {
			continue
		}
		more, err := role.tasks()
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, more...)
	}
	if f.cfg.Listen.Admin != "" {
		tasks = append(tasks, adminhttp.New(f.cfg.Listen.Admin, r.ready, f.reg))
	}
	return tasks, nil
}

// core makes what every replica has, whatever its roles.
func (f foundation) core() (*instance, []daemon.Task, error) {
	cfg, log, reg := f.cfg, f.log, f.reg
	var bus presence.Bus = presence.Memory{}
	if cfg.ValkeyURL != "" {
		v, err := presence.NewValkey(cfg.ValkeyURL.Reveal(), cfg.ReplicaID, log)
		if err != nil {
			return nil, nil, err
		}
		bus = v
	}
	r := &instance{foundation: f, world: model.NewCurrent()}
	r.seen = presence.New(cfg.ReplicaID, bus, log, reg)
	r.pusher = push.New(push.Options{Cluster: f.cluster.ID, Log: log, Reg: reg})
	r.changes = feed.New(f.db, publisher(r.world, f.sealer, r.pusher, r.seen), log, reg)
	looker := outside.New(outside.Options{World: r.world, Log: log, Reg: reg})
	r.way = &hops.Source{World: r.world, Seen: r.seen, Required: rest.Required(r.pusher), Outside: looker.Sight}
	health := daemon.Func("health", func(ctx context.Context) error { return tellHealth(ctx, r.world, r.seen, r.pusher) })

	r.issuer = certs.NewIssuer(f.cluster.Web, f.sealer)
	r.admin = admin.New(f.db, r.issuer, f.sealer, f.cluster.Identity.Fingerprint())
	r.admin.Ended, r.admin.Changed, r.admin.Outbound = visit.Revoke, visit.Stale, cfg.Outbound()
	r.visits = visit.New(visit.Options{
		Cluster: f.cluster.ID, Store: f.db, Sessions: r.admin, World: r.world, Open: f.sealer.Open, Admit: r.pusher.Admit, Log: log, Registerer: reg,
	})
	var err error
	if r.tails, err = tail.New(cfg.ValkeyURL.Reveal(), log, reg); err != nil {
		return nil, nil, err
	}
	r.admin.Tails = r.tails
	if r.counted, err = store.Open(context.Background(), cfg.DatabaseURL.Reveal(), store.Options{MaxConns: traffic.Conns, StatementTimeout: traffic.StatementTime, Log: log}); err != nil {
		return nil, nil, err
	}
	pool := daemon.Func("traffic pool", func(ctx context.Context) error { <-ctx.Done(); r.counted.Close(); return nil })
	if r.mailer, err = newMailer(cfg, log, reg); err != nil {
		return nil, nil, err
	}
	r.admin.Post = r.mailer
	return r, []daemon.Task{r.seen, r.changes, looker, health, r.tails, pool, r.mailer}, nil
}

// ready reports what a replica lacks to be of use.
func (r *instance) ready() error {
	if !r.changes.Loaded() {
		return errors.New("the configuration is not read yet")
	}
	return nil
}

// age is for how long the database has said nothing.
func (r *instance) age() time.Duration { return r.changes.Age(time.Now()) }

// push makes what nodes and connectors are connected to.
func (r *instance) push() ([]daemon.Task, error) {
	told := traffic.New(traffic.Options{Store: r.counted, World: r.world, Tails: r.tails, Admit: r.pusher.Admit, Log: r.log, Reg: r.reg})
	labels := publish.New(r.admin, r.pusher.Admit, r.log)
	port, err := newPushPort(r.cfg.Listen.Push, r.cluster, r.db, r.pusher, r.seen, r.world, r.visits, told, labels, r.log, r.reg)
	if err != nil {
		return nil, err
	}
	return []daemon.Task{r.pusher, port, told}, nil
}

// workers makes what works by itself: on certificates, keys, messages, what is over, and alerts.
func (r *instance) workers() ([]daemon.Task, error) {
	all := fleet{r.seen, r.pusher}
	ordered, err := ordering(r.cfg, r.mailer, r.log, r.reg, r.db, r.sealer, r.world, all)
	if err != nil {
		return nil, err
	}
	tasks := []daemon.Task{
		certs.NewWorker(r.db, r.issuer, r.world, r.log, r.reg),
		gossipkey.NewWorker(r.db, r.sealer, r.world, all, r.log, r.reg),
		ticketkey.NewWorker(r.db, r.sealer, r.world, all, r.log, r.reg),
		accesskey.NewWorker(r.db, r.sealer, r.world, all, r.log, r.reg),
		pruner(r.db, r.log), passing.New(r.admin, r.log), traffic.NewKeeper(r.counted, r.log), anchorer(r.db, r.cluster, r.log),
	}
	return append(append(tasks, ordered...), alert.New(r.db, r.way, r.log, r.reg)), nil
}

// api makes what people and programs call: REST, the console, and the pages where people sign in.
func (r *instance) api() ([]daemon.Task, error) {
	pages, err := r.cluster.Identity.Derive("page tokens")
	if err != nil {
		return nil, err
	}
	limiter, err := limits.New(r.cfg.ValkeyURL.Reveal(), r.log, r.reg)
	if err != nil {
		return nil, err
	}
	people, err := newPeople(r.cfg, r.mailer, r.admin, r.db, r.sealer, r.visits, limiter, r.log, r.reg)
	if err != nil {
		return nil, err
	}
	checker := preflight.New(preflight.Options{Roots: r.cfg.Roots(), Away: fleet{r.seen, r.pusher}.away, Log: r.log})
	rest.Inform(r.admin, r.world, r.seen, r.way)
	programs := rest.New(rest.Options{
		Admin: r.admin, SignIn: people.api(), Visits: r.visits, World: r.world, Push: r.pusher, Presence: r.seen,
		Diagnose: diagnosis{r.cfg, r.db, r.sealer, r.seen}.look, Preflight: checker, Previewer: snapshot.New(r.sealer.Open), Control: r.cfg.PushAt(),
		Database: r.age, PageKey: pages, Limits: limiter, Log: r.log, Reg: r.reg,
	})
	l, fresh, err := listenAPI(r.cfg, r.log)
	if err != nil {
		return nil, err
	}
	operators := people.console(r.cfg, console.Options{
		Reference: reference.Of(programs.Document()), Diagnose: diagnosis{r.cfg, r.db, r.sealer, r.seen}.shown, Preflight: checker, Previewer: snapshot.New(r.sealer.Open), Admin: r.admin, World: r.world, Push: r.pusher, Presence: r.seen, Database: r.age, Log: r.log, Reg: r.reg,
	})
	serve := daemon.Func("api", func(ctx context.Context) error {
		return serveHTTP(ctx, l, forwarded.Handler(r.cfg.Proxies(), people.handler(programs, operators)))
	})
	return append(append(append([]daemon.Task{limiter}, people.tasks...), fresh...), serve), nil
}
