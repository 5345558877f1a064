package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/warrenedge/warren/controlplane/accesskey"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/alert"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/certs"
	"github.com/warrenedge/warren/controlplane/config"
	"github.com/warrenedge/warren/controlplane/console"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/feed"
	"github.com/warrenedge/warren/controlplane/forwarded"
	"github.com/warrenedge/warren/controlplane/gossipkey"
	"github.com/warrenedge/warren/controlplane/hops"
	"github.com/warrenedge/warren/controlplane/keyring"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/outside"
	"github.com/warrenedge/warren/controlplane/passing"
	"github.com/warrenedge/warren/controlplane/preflight"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/publish"
	"github.com/warrenedge/warren/controlplane/push"
	"github.com/warrenedge/warren/controlplane/rest"
	"github.com/warrenedge/warren/controlplane/signin/limits"
	"github.com/warrenedge/warren/controlplane/snapshot"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/controlplane/tail"
	"github.com/warrenedge/warren/controlplane/ticketkey"
	"github.com/warrenedge/warren/controlplane/traffic"
	"github.com/warrenedge/warren/controlplane/visit"
	"github.com/warrenedge/warren/shared/adminhttp"
	"github.com/warrenedge/warren/shared/atomicfile"
	"github.com/warrenedge/warren/shared/backoff"
	"github.com/warrenedge/warren/shared/daemon"
	"github.com/warrenedge/warren/shared/version"
)

// serve runs a replica until ctx ends or a signal comes.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	log = log.With("replica", cfg.ReplicaID)
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	kek, err := readKEK(ctx, cfg, log)
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, cfg.DatabaseURL.Reveal(), store.Options{Log: log})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	lock, err := db.ReplicaLock(ctx, cfg.ValkeyURL == "")
	if err != nil {
		return err
	}
	replicas := &replicaLock{db: db, lock: lock, exclusive: cfg.ValkeyURL == "", log: log}
	defer replicas.release()
	ring, err := keyring.Open(ctx, db, kek, log)
	if err != nil {
		return err
	}
	cluster, err := admin.Bootstrap(ctx, db, ring.Sealer())
	if err != nil {
		return err
	}
	if err := handOver(cluster.FirstKey, cfg.BootstrapKeyFile, os.Stdout, log); err != nil {
		return err
	}
	if err := handOverSetup(ctx, cfg, db, cluster.FirstKey != "", os.Stdout, log); err != nil {
		return err
	}
	if err := sayWhereToSignIn(ctx, cfg, db); err != nil {
		return err
	}
	tasks, err := wire(cfg, log, reg, db, ring.Sealer(), cluster)
	if err != nil {
		return err
	}
	log.Info("starting", "version", version.Version, "roles", cfg.Roles, "api", cfg.Listen.API, "push", cfg.Listen.Push)
	return daemon.Run(ctx, log, append(tasks, ring, replicas)...)
}

// wire makes the tasks, in the order in which a change passes: rows, model, streams; then who asks and who
// watches.
func wire(cfg *config.Config, log *slog.Logger, reg *prometheus.Registry, db *store.Store, sealer *authority.Sealer, cluster *admin.Cluster) ([]daemon.Task, error) {
	var bus presence.Bus = presence.Memory{}
	if cfg.ValkeyURL != "" {
		v, err := presence.NewValkey(cfg.ValkeyURL.Reveal(), cfg.ReplicaID, log)
		if err != nil {
			return nil, err
		}
		bus = v
	}
	world := model.NewCurrent()
	seen := presence.New(cfg.ReplicaID, bus, log, reg)
	pusher := push.New(push.Options{Cluster: cluster.ID, Log: log, Reg: reg})
	changes := feed.New(db, publisher(world, sealer, pusher, seen), log, reg)
	ready := func() error {
		if !changes.Loaded() {
			return errors.New("the configuration is not read yet")
		}
		return nil
	}
	looker := outside.New(outside.Options{World: world, Log: log, Reg: reg})
	way := &hops.Source{World: world, Seen: seen, Required: rest.Required(pusher), Outside: looker.Sight}
	tasks := []daemon.Task{seen, changes, looker, daemon.Func("health", func(ctx context.Context) error { return tellHealth(ctx, world, seen, pusher) })}

	issuer := certs.NewIssuer(cluster.Web, sealer)
	adm := admin.New(db, issuer, sealer, cluster.Identity.Fingerprint())
	adm.Ended, adm.Changed, adm.Outbound = visit.Revoke, visit.Stale, cfg.Outbound()
	visits := visit.New(visit.Options{
		Cluster: cluster.ID, Store: db, Sessions: adm, World: world, Open: sealer.Open, Admit: pusher.Admit, Log: log, Registerer: reg,
	})
	tails, err := tail.New(cfg.ValkeyURL.Reveal(), log, reg)
	if err != nil {
		return nil, err
	}
	adm.Tails = tails
	counted, err := store.Open(context.Background(), cfg.DatabaseURL.Reveal(), store.Options{MaxConns: traffic.Conns, StatementTimeout: traffic.StatementTime, Log: log})
	if err != nil {
		return nil, err
	}
	tasks = append(tasks, tails, daemon.Func("traffic pool", func(ctx context.Context) error { <-ctx.Done(); counted.Close(); return nil }))
	mailer, err := newMailer(cfg, log, reg)
	if err != nil {
		return nil, err
	}
	tasks = append(tasks, mailer)
	if cfg.Has(config.RolePush) {
		told := traffic.New(traffic.Options{Store: counted, World: world, Tails: tails, Admit: pusher.Admit, Log: log, Reg: reg})
		port, err := newPushPort(cfg.Listen.Push, cluster, db, pusher, seen, world, visits, told, publish.New(adm, pusher.Admit, log), log, reg)
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, pusher, port, told)
	}
	if cfg.Has(config.RoleWorker) {
		ordered, err := ordering(cfg, mailer, log, reg, db, sealer, world, fleet{seen, pusher})
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, certs.NewWorker(db, issuer, world, log, reg), gossipkey.NewWorker(db, sealer, world, fleet{seen, pusher}, log, reg),
			ticketkey.NewWorker(db, sealer, world, fleet{seen, pusher}, log, reg),
			accesskey.NewWorker(db, sealer, world, fleet{seen, pusher}, log, reg), pruner(db, log), passing.New(adm, log), traffic.NewKeeper(counted, log), anchorer(db, cluster, log))
		tasks = append(append(tasks, ordered...), alert.New(db, way, log, reg))
	}
	if cfg.Has(config.RoleAPI) {
		pages, err := cluster.Identity.Derive("page tokens")
		if err != nil {
			return nil, err
		}
		limiter, err := limits.New(cfg.ValkeyURL.Reveal(), log, reg)
		if err != nil {
			return nil, err
		}
		people, err := newPeople(cfg, mailer, adm, db, sealer, visits, limiter, log, reg)
		if err != nil {
			return nil, err
		}
		checker := preflight.New(preflight.Options{Roots: cfg.Roots(), Away: fleet{seen, pusher}.away, Log: log})
		api := rest.New(rest.Options{
			Admin: adm, SignIn: people.api(), Visits: visits, World: world, Push: pusher, Presence: seen, Hops: way, Diagnose: diagnosis{cfg, db, sealer, seen}.look,
			Preflight: checker, Previewer: snapshot.New(sealer.Open), Control: cfg.PushAt(),
			Database: func() time.Duration { return changes.Age(time.Now()) }, PageKey: pages, Limits: limiter, Log: log, Reg: reg,
		})
		l, fresh, err := listenAPI(cfg, log)
		if err != nil {
			return nil, err
		}
		operators := people.console(cfg, console.Options{
			Preflight: checker,
			Admin:     adm, World: world, Push: pusher, Presence: seen, Database: func() time.Duration { return changes.Age(time.Now()) }, Log: log, Reg: reg,
		})
		tasks = append(append(append(tasks, limiter), people.tasks...), fresh...)
		tasks = append(tasks, daemon.Func("api", func(ctx context.Context) error {
			return serveHTTP(ctx, l, forwarded.Handler(cfg.Proxies(), people.handler(api, operators)))
		}))
	}
	if cfg.Listen.Admin != "" {
		tasks = append(tasks, adminhttp.New(cfg.Listen.Admin, ready, reg))
	}
	return tasks, nil
}

// listenAPI opens the API's port, and returns the task that keeps its certificate fresh, if it ends TLS itself.
func listenAPI(cfg *config.Config, log *slog.Logger) (net.Listener, []daemon.Task, error) {
	if cfg.APITLSCert == "" {
		l, err := net.Listen("tcp", cfg.Listen.API)
		if err != nil {
			return nil, nil, fmt.Errorf("listen.api: %w", err)
		}
		return l, nil, nil
	}
	cert, err := newAPICert(cfg.APITLSCert, cfg.APITLSKey, log)
	if err != nil {
		return nil, nil, err
	}
	l, err := net.Listen("tcp", cfg.Listen.API)
	if err != nil {
		return nil, nil, fmt.Errorf("listen.api: %w", err)
	}
	conf := &tls.Config{GetCertificate: cert.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	return tls.NewListener(l, conf), []daemon.Task{cert}, nil
}

// Limits of the API's connections. A call may wait for 25 s; net/http ends its context when the time to read it is over.
const (
	readTimeout  = 30 * time.Second
	writeTimeout = 40 * time.Second
	stopGrace    = 5 * time.Second
)

func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
	defer cancel()
	if srv.Shutdown(grace) != nil {
		_ = srv.Close() // somebody waits for a revision: another replica will tell
	}
	<-ended
	return nil
}

// handOver gives the first API key to the operator. It exists nowhere else: a file that can't be written
// must not lose it.
func handOver(key, file string, out io.Writer, log *slog.Logger) error {
	if key == "" {
		return nil
	}
	if file != "" {
		err := atomicfile.Write(file, []byte(key+"\n"))
		if err == nil {
			log.Info("first API key written", "file", file)
			return nil
		}
		log.Error("bootstrap_key_file can't be written, the first API key goes to standard output", "err", err)
	}
	_, err := fmt.Fprintf(out, "The first API key, shown this once:\n%s\n", key)
	return err
}

// replicaLock keeps the lock that tells replicas with and without a presence bus apart.
type replicaLock struct {
	db        *store.Store
	lock      *store.Lock
	exclusive bool
	log       *slog.Logger
}

// String names the task.
func (r *replicaLock) String() string { return "replica lock" }

// Run takes the lock again whenever the database lost it. While the database is away this replica serves
// on; that another one took its place meanwhile ends it.
func (r *replicaLock) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.lock.Lost():
		}
		r.log.Warn("replica lock lost, the database is away")
		wait := backoff.Backoff{Max: 5 * time.Second}
		for {
			if !wait.Wait(ctx) {
				return nil
			}
			next, err := r.db.ReplicaLock(ctx, r.exclusive)
			if err == nil {
				r.lock = next
				r.log.Info("replica lock taken again")
				break
			}
			if fault.Of(err) == fault.Conflict {
				return err
			}
		}
	}
}

func (r *replicaLock) release() { r.lock.Release() }

// How long changes are kept. Who is further behind reads everything again.
const (
	keepChanges = 7 * 24 * time.Hour
	pruneEvery  = time.Hour
)

func pruner(db *store.Store, log *slog.Logger) daemon.Task {
	return daemon.Func("prune", func(ctx context.Context) error {
		tick := time.NewTicker(pruneEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			if _, err := db.Tx(ctx, "prune", func(tx *store.Tx) error {
				if _, err := tx.PruneSessions(ctx, time.Now()); err != nil {
					return err
				}
				_, err := tx.PruneSignIn(ctx, time.Now())
				return err
			}); err != nil && ctx.Err() == nil {
				log.Warn("sessions and sign-ins that are over not removed", "err", err)
			}
			n, err := db.Prune(ctx, time.Now().Add(-keepChanges))
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				log.Warn("old changes not forgotten", "err", err)
			case n > 0:
				log.Info("old changes forgotten", "count", n)
			}
		}
	})
}
