package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/config"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/atomicfile"
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
	f, err := awaitDatabase(ctx, cfg, db, kek, log)
	if err != nil {
		return err
	}
	replicas, ring, cluster := f.replicas, f.ring, f.cluster
	defer replicas.release()
	if err := handOver(cluster.FirstKey, cfg.BootstrapKeyFile, os.Stdout, log); err != nil {
		return err
	}
	if err := handOverSetup(ctx, cfg, db, cluster.FirstKey != "", os.Stdout, log); err != nil {
		return err
	}
	if err := sayWhereToSignIn(ctx, cfg, db); err != nil {
		return err
	}
	tasks, err := wire(foundation{cfg, log, reg, db, ring.Sealer(), cluster})
	if err != nil {
		return err
	}
	log.Info("starting", "version", version.Version, "roles", cfg.Roles, "api", cfg.Listen.API, "push", cfg.Listen.Push)
	return daemon.Run(ctx, log, append(tasks, ring, replicas)...)
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
				if _, err := tx.PruneJoinTokens(ctx, time.Now().Add(-admin.JoinTokenKept)); err != nil {
					return err
				}
				_, err := tx.PruneSignIn(ctx, time.Now())
				return err
			}); err != nil && ctx.Err() == nil {
				log.Warn("sessions, sign-ins and join tokens that are over not removed", "err", err)
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
