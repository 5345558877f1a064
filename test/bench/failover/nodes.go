package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/warrenedge/warren/test/bench/measure"
	"github.com/warrenedge/warren/test/lab"
	"github.com/warrenedge/warren/test/lab/cluster"
)

// An end takes a machine's program away; back puts it where it was.
type end func(h *lab.Host, p *lab.Process) (back func() error, err error)

func kill(_ *lab.Host, p *lab.Process) (func() error, error) {
	p.Kill()
	return p.Restart, nil
}

// unplug is a machine that dies: no kernel answers for it any more.
func unplug(h *lab.Host, _ *lab.Process) (func() error, error) {
	k, err := h.Link()
	if err != nil {
		return nil, err
	}
	return k.Heal, k.Cut(lab.Both)
}

// nodeGone takes away a node that keeps a tunnel to the first site while 500 requests a second come in by the
// two others, of which one relays, and while other clients follow what DNS says.
func (b *bench) nodeGone(ctx context.Context, name string, away end) error {
	dead, stays := b.inside[0], b.inside[1]
	l, err := b.load(ctx,
		client{rate: 250, resolve: at(stays)}, client{rate: 250, resolve: at(b.outside)},
		client{rate: 50, resolve: b.following(stays, b.outside), fresh: true},
	)
	if err != nil {
		return err
	}
	stop := b.watch(ctx, hostname(0), dead.Host.Addr, stays, b.outside)
	if err := measure.Pause(ctx, 500*time.Millisecond); err != nil {
		return err
	}
	l.Mark(name)
	gone := time.Now()
	back, err := away(dead.Host, dead.Proc)
	if err != nil {
		return err
	}
	reports, err := l.EndAfter(ctx, 5*time.Second)
	last, answers := stop()
	if err := errors.Join(err, back()); err != nil {
		return err
	}
	staying, following := together(reports[:2]), together(reports[2:])
	out := max(0, last.Sub(gone))
	return errors.Join(
		measure.Figure{
			"bench": name, "clients": "on other nodes", "per_s": 500, "sent": staying.sent, "failed": staying.failed, "failures": staying.failures,
			"under_way": staying.underWay, "healed": staying.healed, "all_succeed_after_ms": measure.Milliseconds(staying.after), "longest_gap_ms": measure.Milliseconds(staying.longestGap),
			"wanted": "failed <= under way, all succeed after <= 500 ms",
		}.Print(os.Stdout),
		measure.Figure{
			"bench": name, "clients": "following DNS", "per_s": 50, "sent": following.sent, "failed": following.failed, "failures": following.failures,
			"healed": following.healed, "all_succeed_after_ms": measure.Milliseconds(following.after),
			"dead_address_named_ms": measure.Milliseconds(out), "dns_answers": answers, "wanted": "named <= 1500 ms",
		}.Print(os.Stdout),
	)
}

func (b *bench) nodeKilledWithoutControl(ctx context.Context) error {
	for _, p := range append([]*lab.Process{b.DB, b.Cache}, b.Control...) {
		p.Kill()
	}
	err := measure.Pause(ctx, 2*time.Second)
	if err == nil {
		err = b.nodeGone(ctx, "node killed, control plane dead", kill)
	}
	return errors.Join(err, b.DB.Restart(), b.Cache.Restart(), b.Until(ctx, "the database answers", func() error { return b.SQL("SELECT 1") }),
		b.Control[0].Restart(), b.Control[1].Restart())
}

// nodeDrained drains a node as an operator does; it ends by itself when resolvers have forgotten it.
func (b *bench) nodeDrained(ctx context.Context) error {
	n, stays := b.inside[0], b.inside[1]
	l, err := b.load(ctx,
		client{rate: 100, resolve: at(stays)}, client{rate: 100, resolve: at(b.outside)},
		client{rate: 50, resolve: lab.Resolver(b.Client, b.Client.Addr), fresh: true},
	)
	if err != nil {
		return err
	}
	l.Mark("drain")
	since := time.Now()
	if _, err := b.Warren("node", "drain", n.Name, "--wait"); err != nil {
		return err
	}
	err = b.Until(ctx, "the drained node ends", func() error {
		if n.Proc.Running() {
			return errors.New("it runs")
		}
		return nil
	})
	ended := time.Since(since)
	reports, after := l.EndAfter(ctx, 3*time.Second)
	if err := errors.Join(err, after); err != nil {
		return err
	}
	if err := n.Proc.Restart(); err != nil {
		return err
	}
	if _, err := b.Warren("node", "activate", n.Name, "--wait"); err != nil {
		return err
	}
	s := together(reports)
	return measure.Figure{
		"bench": "node drained until it ended", "sent": s.sent, "failed": s.failed, "failures": s.failures, "ended_after_ms": measure.Milliseconds(ended), "wanted": "0 failed",
	}.Print(os.Stdout)
}

func (b *bench) replicaStopped(ctx context.Context) error {
	l, err := b.load(ctx, client{rate: 250, resolve: at(b.inside[0])}, client{rate: 250, resolve: at(b.outside)})
	if err != nil {
		return err
	}
	l.Mark("stop")
	b.Control[0].Stop()
	reports, err := l.EndAfter(ctx, 4*time.Second)
	if err := errors.Join(err, b.Control[0].Restart()); err != nil {
		return err
	}
	s := together(reports)
	return measure.Figure{
		"bench": "control replica stopped", "per_s": 500, "sent": s.sent, "failed": s.failed, "failures": s.failures, "wanted": "0 failed",
	}.Print(os.Stdout)
}

// relayHop compares requests to a node with a tunnel and to one without. The rounds take turns, so that what else
// the machine does meets both.
func (b *bench) relayHop(ctx context.Context) error {
	const rounds, rate = 4, 200
	var programs []*lab.Process
	for _, n := range b.Nodes {
		programs = append(programs, n.Proc)
	}
	var took [2][]time.Duration
	var used [2]time.Duration
	for range rounds {
		for i, n := range []*cluster.Node{b.inside[1], b.outside} {
			l, err := b.load(ctx, client{rate: rate, resolve: at(n)})
			if err != nil {
				return err
			}
			before, err := measure.CPU(programs...)
			if err != nil {
				return err
			}
			from := len(l.Clients[0].Outcomes())
			if err := measure.Pause(ctx, 2*time.Second); err != nil {
				return err
			}
			after, err := measure.CPU(programs...)
			if err != nil {
				return err
			}
			took[i] = append(took[i], measure.Took(l.Clients[0].Outcomes()[from:])...)
			used[i] += after - before
			if _, err := l.EndAfter(ctx, 0); err != nil {
				return err
			}
		}
	}
	if len(took[0]) == 0 || len(took[1]) == 0 {
		return fmt.Errorf("%d requests without and %d with the relay succeeded", len(took[0]), len(took[1]))
	}
	per := func(i int) time.Duration { return used[i] / time.Duration(len(took[i])) }
	p50 := func(i int) time.Duration { return measure.Quantile(took[i], 0.5) }
	return measure.Figure{
		"bench": "relay hop", "per_s": rate, "requests": len(took[1]),
		"direct_p50_ms": measure.Milliseconds(p50(0)), "relayed_p50_ms": measure.Milliseconds(p50(1)), "added_p50_ms": measure.Milliseconds(p50(1) - p50(0)),
		"direct_cpu_ms": measure.Milliseconds(per(0)), "relayed_cpu_ms": measure.Milliseconds(per(1)), "added_cpu_ms": measure.Milliseconds(per(1) - per(0)),
		"wanted": "added p50 <= 1 ms, added CPU <= 0.1 ms",
	}.Print(os.Stdout)
}
