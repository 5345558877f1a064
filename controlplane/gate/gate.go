// Package gate reports when every node that a certificate authority could ask answers a challenge.
package gate

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
)

// Fleet says what nodes have applied, whichever replica they are connected to.
type Fleet interface {
	Standing(now time.Time, nodes []model.NodeID, rev model.Revision) map[model.NodeID]presence.Standing
}

// Policy is what becomes of nodes that can't acknowledge because they are away.
type Policy string

// Policies.
const (
	Wait     Policy = "wait"     // until they are back
	Withdraw Policy = "withdraw" // who is away and answers nothing at its public addresses counts as gone
)

// Pace and bounds of looking.
const (
	paceMin = 50 * time.Millisecond
	paceMax = time.Second
	askTime = 2 * time.Second // for one exchange
	asking  = 32              // at a time
	lag     = time.Minute     // after which nodes that have not applied a challenge are asked all the same
)

// Options is what a Gate is made of.
type Options struct {
	World  *model.Current
	Fleet  Fleet
	Policy Policy
	// Dial opens connections to public addresses of nodes; nil: as the host does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	Log  *slog.Logger
}

// Gate looks at nodes from where it stands. Safe for concurrent use; it keeps nothing.
type Gate struct {
	with Options
	ask  func(ctx context.Context, address string, w want) error // at one address; replaced in tests of time
}

// New makes a Gate.
func New(o Options) *Gate {
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	return &Gate{with: o, ask: prober{o.Dial}.ask}
}

// Missing is a node that does not answer, and why.
type Missing struct {
	Node   string // name
	Reason string
	There  bool // it is connected and has applied the challenges, and yet does not answer them
}

func (m Missing) String() string { return m.Node + ": " + m.Reason }

// NotReady says who does not answer yet.
type NotReady struct{ Missing []Missing }

// Unserved reports whether all that is missing is an answer of nodes that have applied the challenges: it does not come by waiting alone.
func (e *NotReady) Unserved() bool {
	return !slices.ContainsFunc(e.Missing, func(m Missing) bool { return !m.There })
}

func (e *NotReady) Error() string {
	const most = 5 // of a large pool a few tell enough
	var b strings.Builder
	for i, m := range e.Missing {
		if i == most {
			fmt.Fprintf(&b, "; and %d more", len(e.Missing)-most)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(m.String())
	}
	return b.String()
}

// Ready returns nil once every node that an authority could ask answers all challenges, which were written at a
// revision: each has applied it, then each of its public addresses was asked, the way an authority asks. Otherwise
// it returns when ctx ends, and the error is a *NotReady if nodes were looked at. It asks nodes and nobody else, so
// it may be called again at any time, by any replica.
func (g *Gate) Ready(ctx context.Context, rev model.Revision, all []*model.Challenge) error {
	var last error
	pace := paceMin
	for {
		missing, out, err := g.Look(ctx, rev, all)
		switch {
		case ctx.Err() != nil && last != nil:
			return last // this look was cut short
		case err != nil:
			return err
		case len(missing) == 0:
			for _, m := range out {
				g.with.Log.Warn("challenge is ready without a node that is away", "node", m.Node, "reason", m.Reason, "rev", rev)
			}
			return nil
		}
		last = &NotReady{missing}
		timer := time.NewTimer(pace)
		select {
		case <-ctx.Done():
			timer.Stop()
			return last
		case <-timer.C:
		}
		pace = min(2*pace, paceMax)
	}
}

// Look looks once. Nodes in out are away, or have not applied the revision for long, and, by the policy Withdraw, count as gone. While
// somebody has not applied it, and may soon, nobody is asked.
func (g *Gate) Look(ctx context.Context, rev model.Revision, all []*model.Challenge) (missing, out []Missing, err error) {
	m, err := g.with.World.Wait(ctx, rev)
	if err != nil {
		return nil, nil, fmt.Errorf("revision %d: %w", rev, err)
	}
	wants, err := byPool(m, all)
	if err != nil {
		return nil, nil, err
	}
	var seen []sight
	for pool, list := range wants {
		for n := range m.NodesOf(pool) {
			if n.Enrolled() {
				seen = append(seen, sight{node: n, wants: list})
			}
		}
		if !slices.ContainsFunc(seen, func(s sight) bool { return s.node.Pool == pool }) {
			return nil, nil, fmt.Errorf("no node serves %s", list[0].name)
		}
	}
	ids := make([]model.NodeID, len(seen))
	for i := range seen {
		ids[i] = seen[i].node.ID
	}
	standing := g.with.Fleet.Standing(time.Now(), ids, rev)
	for i := range seen {
		seen[i].standing = standing[ids[i]]
	}
	asked := late(all, time.Now()) || !slices.ContainsFunc(seen, func(s sight) bool { return s.standing == presence.Behind })
	if asked {
		g.look(ctx, seen)
	}
	missing, out = judge(seen, rev, g.with.Policy, asked)
	return missing, out, nil
}

// late reports whether challenges were written so long ago that who has not applied them will hardly do so.
func late(all []*model.Challenge, now time.Time) bool {
	return !slices.ContainsFunc(all, func(c *model.Challenge) bool { return now.Sub(c.Expires.Add(-model.ChallengeLifetime)) < lag })
}

// byPool groups what is to be answered by the pool that serves it.
func byPool(m *model.Model, all []*model.Challenge) (map[model.PoolID][]want, error) {
	wants := map[model.PoolID][]want{}
	for _, c := range all {
		d := m.DomainCovering(c.Name)
		if d == nil || d.Org != c.Org {
			return nil, fmt.Errorf("%s is in no domain of its organization", c.Name)
		}
		list := wants[d.Pool]
		if i := slices.IndexFunc(list, func(w want) bool { return c.Type == model.DNS01 && w.kind == c.Type && w.name == c.Name }); i >= 0 {
			list[i].values = append(list[i].values, string(c.Value))
			continue
		}
		wants[d.Pool] = append(list, want{kind: c.Type, name: c.Name, token: c.Token, values: []string{string(c.Value)}})
	}
	return wants, nil
}
