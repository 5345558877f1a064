package orders

import (
	"context"
	"crypto"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warrenedge/warren/controlplane/acme"
	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// childEnv makes the test's own program a worker: a replica that may be killed for real.
const (
	childEnv = "WARREN_ORDERS_CHILD"
	killEnv  = "WARREN_ORDERS_KILL"
	stopEnv  = "WARREN_ORDERS_STOP"
)

// child runs a worker until it is told to end. At the point that WARREN_ORDERS_KILL names it kills itself; such a one plans, too. At that of
// WARREN_ORDERS_STOP it stops, and goes on when it is told to. It says so, and in that case all else that it logs, at its output.
func child() int {
	out, level := os.Stderr, slog.LevelError
	if os.Getenv(stopEnv) != "" {
		out, level = os.Stdout, slog.LevelInfo
	}
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	kek, err := base64.StdEncoding.DecodeString(os.Getenv("WARREN_ORDERS_KEK"))
	if err != nil {
		log.Error("child", "err", err)
		return 1
	}
	sealer, err := authority.NewSealer(kek)
	if err != nil {
		log.Error("child", "err", err)
		return 1
	}
	db, err := store.Open(ctx, os.Getenv("WARREN_ORDERS_DSN"), store.Options{MaxConns: 6, StatementTimeout: 30 * time.Second})
	if err != nil {
		log.Error("child", "err", err)
		return 1
	}
	defer db.Close()
	world := model.NewCurrent()
	w := New(Options{
		Store: db, Sealer: sealer, World: world, Gate: probing{os.Getenv("WARREN_ORDERS_DNS")}, Preflight: &allowing{}, Fleet: &nodes{}, Replica: os.Getenv(childEnv),
		UserAgent: "warren-test", Log: log, Reg: prometheus.NewRegistry(), Lease: 3 * time.Second, Every: 100 * time.Millisecond, AtOnce: 4,
	})
	w.at = interrupter()
	w.accounts.wrap = func(c CA) CA { return pointed{c, w.at} }
	var beside sync.WaitGroup
	defer beside.Wait()
	defer stop()
	if os.Getenv(stopEnv) == "" {
		beside.Go(func() { follow(ctx, db, world, 100*time.Millisecond, func(model.Batch) {}) })
		beside.Go(func() { _ = NewPlanner(w).Run(ctx) })
	}
	if err := w.Run(ctx); err != nil {
		log.Error("child", "err", err)
		return 1
	}
	return 0
}

// interrupter ends or stops the process where it is told to, without a word to the other replicas.
func interrupter() func(string) {
	kill, stop := os.Getenv(killEnv), os.Getenv(stopEnv)
	var once sync.Once
	said := func(what, point string) {
		once.Do(func() {
			fmt.Println(what + " at " + point)
			_ = os.Stdout.Sync()
			if what == "killed" {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			_, _ = os.Stdin.Read(make([]byte, 1)) // the signal is there a moment later
		})
	}
	return func(point string) {
		switch point {
		case kill:
			said("killed", point)
		case stop:
			said("stopped", point)
		}
	}
}

// pointed has a point before and after each request.
type pointed struct {
	CA
	at func(string)
}

func (p pointed) around(name string, do func()) {
	p.at(name + " before")
	do()
	p.at(name + " after")
}

func (p pointed) NewOrder(ctx context.Context, names []string, profile, replaces string) (o *acme.Order, err error) {
	p.around("newOrder", func() { o, err = p.CA.NewOrder(ctx, names, profile, replaces) })
	return o, err
}

func (p pointed) Orders(ctx context.Context) (urls []string, err error) {
	p.around("orders", func() { urls, err = p.CA.Orders(ctx) })
	return urls, err
}

func (p pointed) Order(ctx context.Context, url string) (o *acme.Order, err error) {
	p.around("order", func() { o, err = p.CA.Order(ctx, url) })
	return o, err
}

func (p pointed) Authorization(ctx context.Context, url string) (a *acme.Authorization, err error) {
	p.around("authorization", func() { a, err = p.CA.Authorization(ctx, url) })
	return a, err
}

func (p pointed) Initiate(ctx context.Context, url string) (err error) {
	p.around("initiate", func() { err = p.CA.Initiate(ctx, url) })
	return err
}

func (p pointed) Rollover(ctx context.Context, key crypto.Signer) (err error) {
	p.around("rollover", func() { err = p.CA.Rollover(ctx, key) })
	return err
}

func (p pointed) Finalize(ctx context.Context, o *acme.Order, csr []byte) (out *acme.Order, err error) {
	p.around("finalize", func() { out, err = p.CA.Finalize(ctx, o, csr) })
	return out, err
}

func (p pointed) Certificate(ctx context.Context, url string) (chain []byte, alt []string, err error) {
	p.around("certificate", func() { chain, alt, err = p.CA.Certificate(ctx, url) })
	return chain, alt, err
}

// points are all moments between two writes or requests of an order, by the step that writes, and its plan. Who recovers does so because
// another one was killed around newOrder: those come first, but not all at once.
func points() []string {
	around := func(names ...string) (all []string) {
		for _, name := range names {
			all = append(all, name+" before", name+" after")
		}
		return all
	}
	return append(around("orders", "place: write planned", "recover: write ordered", "newOrder", "place: write ordered"),
		around("plan: write planned", "order", "authorization", "challenge: write challenges_written", "await: write nodes_acked", "initiate", "initiate: write initiated",
			"validate: write ready", "key: write ready", "finalize", "finalize: write finalized", "certificate", "collect: write downloaded", "publish: write published",
			"apply: write acked")...)
}
