// Command upgrade upgrades a cluster under load from an older revision to the current build, program by program, and
// prints what clients saw of it, one JSON line for each order that was tried.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

func main() {
	bin := flag.String("bin", "bin", "folder of the programs that are upgraded to")
	old := flag.String("old", "", "revision of the repository that is upgraded from")
	orders := flag.Int("orders", 3, "how many orders are tried, each with a cluster of its own")
	flag.Parse()
	if *old == "" || *orders < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "upgrade: -help lists the flags; -old is wanted, and at least one order")
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, *bin, *old, *orders)
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "upgrade:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, old string, orders int) (err error) {
	bin, err = filepath.Abs(bin)
	if err != nil {
		return err
	}
	from, done, err := build(ctx, old)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	for number := range orders {
		err := lab.Program(os.Stderr, func(l *lab.Lab) error {
			b, err := start(ctx, l, from, bin)
			if err != nil {
				return err
			}
			err = b.upgrade(ctx, number)
			if err != nil {
				b.show(os.Stderr)
			}
			return err
		})
		if err != nil || ctx.Err() != nil {
			return fmt.Errorf("order %d: %w", number, err)
		}
	}
	return nil
}

// program is one that is upgraded.
type program struct {
	kind kind
	*lab.Process
	upgrade func(ctx context.Context) error // from the old one that runs to the new one that serves
}

// bench is a cluster of the old programs, one site of which has two connectors and a service.
type bench struct {
	*cluster.Cluster
	from     built
	to       string // folder of the new programs
	programs []program
	changes  int
}

const app = "app." + cluster.Domain

func start(ctx context.Context, l *lab.Lab, from built, to string) (*bench, error) {
	c, err := cluster.Start(ctx, l, cluster.Config{Bin: from.bin, Sites: 1, Patience: 5 * time.Minute})
	if err != nil {
		return nil, err
	}
	b := &bench{Cluster: c, from: from, to: to}
	if err := c.Web(c.Sites[0], "web", "10.77.1.10", 8080); err != nil {
		return nil, err
	}
	if err := c.Apply(cluster.Service("app", "http", app, c.Sites[0].Name, "10.77.1.10", 8080), "--wait"); err != nil {
		return nil, err
	}
	second, err := c.Second(ctx, c.Sites[0])
	if err != nil {
		return nil, err
	}
	for _, p := range c.Control {
		b.programs = append(b.programs, program{replica, p, func(ctx context.Context) error { return b.restart(ctx, p, b.ready(p)) }})
	}
	for i, n := range c.Nodes {
		by := b.drain
		if i == 0 { // systemd keeps this one's sockets
			by = b.inPlace
			n.Proc.Stop()
			if err := l.Try(n.Keep); err != nil {
				return nil, err
			}
			if err := n.Proc.Restart(); err != nil {
				return nil, err
			}
		}
		b.programs = append(b.programs, program{node, n.Proc, func(ctx context.Context) error { return by(ctx, n) }})
	}
	for _, p := range []*lab.Process{c.Sites[0].Proc, second} {
		b.programs = append(b.programs, program{connector, p, func(ctx context.Context) error { return b.restart(ctx, p, b.whole) }})
	}
	return b, c.Until(ctx, "the cluster is whole", b.whole)
}

// upgrade upgrades all programs in one order and prints what came of it.
func (b *bench) upgrade(ctx context.Context, number int) error {
	schema, err := b.schema()
	if err != nil {
		return err
	}
	var kinds []kind
	for _, p := range b.programs {
		kinds = append(kinds, p.kind)
	}
	o := draw(b.Lab.Seed, number, kinds)
	l, err := b.load(ctx)
	if err != nil {
		return err
	}
	defer l.end()
	var names []string
	since := time.Now()
	for _, i := range o.steps {
		p := b.programs[i]
		l.Mark(p.Name)
		p.Become(b.to)
		if err := p.upgrade(ctx); err != nil {
			return fmt.Errorf("%s, after %v: %w", p.Name, names, err)
		}
		names = append(names, p.Name)
		if err := b.change(ctx); err != nil { // the old and the new understand each other
			return fmt.Errorf("a change after %v: %w", names, err)
		}
	}
	b.Become(b.to) // the administrator's command line, last
	if err := b.change(ctx); err != nil {
		return fmt.Errorf("a change after all is new: %w", err)
	}
	took := time.Since(since)
	seen := l.end()
	now, err := b.schema()
	if err != nil {
		return err
	}
	return measure.Figure{
		"bench": "upgrade of every program", "from": b.from.revision, "order": o.name, "upgraded": names, "steps_of_the_schema": len(now) - len(schema), "took_s": measure.Round(took.Seconds()),
		"requests": seen.sent, "failed": seen.failed, "failures": seen.failures, "failed_at": seen.at, "connections_lost": seen.lost, "longest_gap_ms": measure.Milliseconds(seen.longestGap),
		"api_calls": seen.calls, "api_failed": seen.refused, "changes_applied_by_all": b.changes, "wanted": "0 failed, in any order",
	}.Print(os.Stdout)
}

// schema is the steps that the database has taken.
func (b *bench) schema() ([]string, error) {
	return b.Query("SELECT version_id FROM goose_db_version WHERE is_applied AND version_id > 0")
}

// change changes something that every node has to know, and returns when all have applied it and serve.
func (b *bench) change(ctx context.Context) error {
	b.changes++
	yaml := cluster.Service("app", "http", app, b.Sites[0].Name, "10.77.1.10", 8080) +
		"---\n" + cluster.Service("other", "http", fmt.Sprintf("other%d.%s", b.changes, cluster.Domain), b.Sites[0].Name, "10.77.1.10", 8080)
	if err := b.Apply(yaml, "--wait"); err != nil {
		return err
	}
	return b.Until(ctx, "the cluster is whole", b.whole)
}

// whole returns nil when all is up, and every node names all and serves.
func (b *bench) whole() error {
	if _, err := b.Warren("status"); err != nil {
		return err
	}
	for _, n := range b.Nodes {
		named, err := b.named(n)
		if err == nil && len(named) != len(b.Nodes) {
			err = fmt.Errorf("%v are named", named)
		}
		if err != nil {
			return fmt.Errorf("DNS of %s: %w", n.Name, err)
		}
		if _, err := b.Curl("https://"+app+"/", cluster.At(n, app)...); err != nil {
			return err
		}
	}
	return nil
}

// show prints what the programs said last.
func (b *bench) show(w io.Writer) {
	for _, p := range b.programs {
		fmt.Fprintf(w, "--- %s, last lines\n%s\n", p.Name, p.Tail(40))
	}
}

// restart ends a program in order and starts it again, as a service manager does.
func (b *bench) restart(ctx context.Context, p *lab.Process, up func() error) error {
	p.Stop()
	if err := p.Restart(); err != nil {
		return err
	}
	return b.Until(ctx, p.Name+" is up again", up)
}

// ready returns nil when a replica takes work.
func (b *bench) ready(p *lab.Process) func() error {
	return func() error {
		out, err := b.Admin.Command("curl", "-sf", "-m", "5", fmt.Sprintf("http://%s:8080/readyz", p.Host.Addr)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", p.Name, err, out)
		}
		return b.whole()
	}
}

func (b *bench) inPlace(ctx context.Context, n *cluster.Node) error {
	return b.restart(ctx, n.Proc, b.whole)
}

// drain ends a node as an operator does who wants nobody to be sent there meanwhile.
func (b *bench) drain(ctx context.Context, n *cluster.Node) error {
	if _, err := b.Warren("node", "drain", n.Name, "--wait"); err != nil {
		return err
	}
	err := b.Until(ctx, n.Name+" ends", func() error {
		if n.Proc.Running() {
			return errors.New("it runs")
		}
		return nil
	})
	if err == nil && n.Proc.ExitCode() != 0 {
		err = fmt.Errorf("%s ended with %d", n.Name, n.Proc.ExitCode())
	}
	if err == nil {
		err = n.Proc.Restart()
	}
	if err != nil {
		return err
	}
	if _, err := b.Warren("node", "activate", n.Name, "--wait"); err != nil {
		return err
	}
	return b.Until(ctx, n.Name+" is back", b.whole)
}
