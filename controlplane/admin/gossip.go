package admin

import (
	"context"
	"slices"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// GossipKey is a key of the gossip between nodes, without the key itself.
type GossipKey struct {
	ID        string    `json:"id"`
	State     string    `json:"state" enum:"asked,opens,seals,retired" doc:"asked: for a rotation that has not begun; opens: nodes learn it; seals: nodes use it; retired: nodes still open with it"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// GossipKeys lists the keys of the gossip between nodes. One that seals, and no other, is no rotation at work.
func (a *Admin) GossipKeys(ctx context.Context, p access.Principal) (out []GossipKey, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if err := p.Check(access.GossipRead); err != nil {
			return err
		}
		out, err = gossipKeys(c, c.tx)
		return err
	})
	return out, err
}

// RotateGossipKey asks for a new key of the gossip. The worker takes the steps, each when all nodes are ready
// for it. A rotation that is asked for already is the one; one that has begun is followed by another.
func (a *Admin) RotateGossipKey(ctx context.Context, p access.Principal) (out []GossipKey, rev model.Revision, err error) {
	rev, err = a.write(ctx, p, action("gossip key", "rotate"), func(c *call) error {
		if err := p.Check(access.GossipRotate); err != nil {
			return err
		}
		if err := askGossipKey(c, c.tx); err != nil {
			return err
		}
		c.did("", "")
		out, err = gossipKeys(c, c.tx)
		return err
	})
	return out, rev, err
}

func gossipKeys(ctx context.Context, tx *store.Tx) ([]GossipKey, error) {
	rows, err := tx.ListGossipKeys(ctx)
	out := []GossipKey{}
	for _, k := range rows {
		out = append(out, GossipKey{k.ID.String(), string(k.State), k.Created.UTC(), k.Updated.UTC()})
	}
	return out, err
}

func askGossipKey(ctx context.Context, tx *store.Tx) error {
	have, err := tx.LockGossipKeys(ctx)
	if err != nil || slices.ContainsFunc(have, func(k *model.GossipKey) bool { return k.State == model.GossipKeyAsked }) {
		return err
	}
	return tx.CreateGossipKey(ctx, &model.GossipKey{ID: model.GossipKeyID{}.New(), State: model.GossipKeyAsked})
}
