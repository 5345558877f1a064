package gate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/presence"
)

// want is what an authority will look for.
type want struct {
	kind   model.ChallengeType
	name   string
	token  string
	values []string // of dns-01 all that are at one name
}

// sight is what was seen of one node.
type sight struct {
	node     *model.Node
	wants    []want
	standing presence.Standing
	seen     []view
}

// view is what one address of a node said.
type view struct {
	address string
	err     error // nil: all that is wanted
}

var (
	// errSilent: nobody answered, so no authority gets a wrong answer there.
	errSilent = errors.New("does not answer")
	// errNoWay: this host has no way to such addresses; others may have.
	errNoWay = errors.New("the control plane has no way to this address")
)

// look asks all addresses of all nodes.
func (g *Gate) look(ctx context.Context, all []sight) {
	var group errgroup.Group
	group.SetLimit(asking)
	var mu sync.Mutex
	for i := range all {
		s := &all[i]
		s.seen = make([]view, len(s.node.Addresses))
		for j, a := range s.node.Addresses {
			s.seen[j].address = a.String()
			for _, w := range s.wants {
				group.Go(func() error {
					err := g.ask(ctx, a.String(), w)
					mu.Lock()
					defer mu.Unlock()
					s.seen[j].err = worse(s.seen[j].err, err)
					return nil
				})
			}
		}
	}
	_ = group.Wait()
}

// worse prefers a wrong answer to none: that is what harms.
func worse(a, b error) error {
	rank := func(err error) int {
		switch {
		case err == nil:
			return 0
		case errors.Is(err, errNoWay):
			return 1
		case errors.Is(err, errSilent):
			return 2
		}
		return 3
	}
	if rank(b) > rank(a) {
		return b
	}
	return a
}

// judge says which nodes are in the way, and which are left out; asked is whether they were asked. It is pure.
func judge(all []sight, rev model.Revision, policy Policy, asked bool) (missing, out []Missing) {
	answer := 0
	for _, s := range all {
		what, why, wrong := "", "", false
		switch s.standing {
		case presence.Behind:
			what = fmt.Sprintf("has not applied revision %d", rev)
		case presence.Away:
			what = "is not connected to the control plane"
		}
		if !asked {
			if s.standing == presence.Behind {
				missing = append(missing, Missing{Node: s.node.Name, Reason: what})
			}
			continue
		}
		if why, wrong = s.reason(); why != "" && what != "" {
			why = what + ", " + why
		}
		switch {
		case why == "" && s.standing == presence.Behind && policy == Wait:
			missing = append(missing, Missing{Node: s.node.Name, Reason: what})
		case why == "":
			answer++
		case what != "" && policy == Withdraw && !wrong:
			out = append(out, Missing{Node: s.node.Name, Reason: why})
		default:
			missing = append(missing, Missing{Node: s.node.Name, Reason: why, There: what == ""})
		}
	}
	order := func(a, b Missing) int { return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.Reason, b.Reason)) }
	slices.SortFunc(missing, order)
	slices.SortFunc(out, order)
	if len(missing) == 0 && answer == 0 { // nobody is left to answer
		return out, nil
	}
	return missing, out
}

// reason is why a node does not count as answering, "" if it does, and whether it gave a wrong answer. Addresses to
// which there is no way from here count as the others of the node do.
func (s sight) reason() (why string, wrong bool) {
	if len(s.node.Addresses) == 0 {
		return "has no public address", false
	}
	good := 0
	var bad error
	at := ""
	for _, v := range s.seen {
		if v.err == nil {
			good++
		}
		if next := worse(bad, v.err); next != bad {
			bad, at = next, v.address
		}
	}
	switch {
	case bad == nil, errors.Is(bad, errNoWay) && good > 0:
		return "", false
	}
	return fmt.Sprintf("%s: %v", at, bad), worse(errSilent, bad) != errSilent
}
