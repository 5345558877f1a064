package orders

import (
	"context"
	"crypto"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
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
const childEnv = "WARREN_ORDERS_CHILD"

// child runs a worker until it is told to end. At the point that WARREN_ORDERS_KILL names it kills itself.
func child() int {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
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
	w := New(Options{
		Store: db, Sealer: sealer, World: model.NewCurrent(), Gate: probing{os.Getenv("WARREN_ORDERS_DNS")}, Preflight: &allowing{}, Fleet: &nodes{}, Replica: os.Getenv(childEnv),
		UserAgent: "warren-test", Log: log, Reg: prometheus.NewRegistry(), Lease: 3 * time.Second, Every: 100 * time.Millisecond, AtOnce: 4,
	})
	w.at = killer(os.Getenv("WARREN_ORDERS_KILL"))
	w.accounts.wrap = func(c CA) CA { return pointed{c, w.at} }
	if err := w.Run(ctx); err != nil {
		log.Error("child", "err", err)
		return 1
	}
	return 0
}

// killer ends the process where it is told to, without a word to anybody.
func killer(at string) func(string) {
	var once sync.Once
	return func(point string) {
		if point == at {
			once.Do(func() {
				fmt.Println("killed at " + point)
				_ = os.Stdout.Sync()
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			})
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

// points are all moments between two writes or requests of an order. Who lists orders does so because another one
// was killed: those two come first.
func points() []string {
	var all []string
	for _, name := range strings.Split("orders,write planned,newOrder,write ordered,order,authorization,write challenges_written,write nodes_acked,initiate,write initiated,"+
		"write ready,finalize,write finalized,certificate,write downloaded,write published,write acked", ",") {
		all = append(all, name+" before", name+" after")
	}
	return all
}
