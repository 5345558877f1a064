package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store"
)

// Cluster is what every replica needs before it serves.
type Cluster struct {
	ID            string // the SPIFFE trust domain
	Identity, Web *authority.Authority
	// FirstKey is the one API key of a fresh cluster, "" on every start but the first: show it once.
	FirstKey string
}

// DefaultName is the organization, region and pool that a fresh cluster has.
const DefaultName = "default"

// Bootstrap makes the cluster on the first start of the first replica and reads it on every other. Replicas
// may start at once: one makes it, the others wait for its transaction.
func Bootstrap(ctx context.Context, s *store.Store, sealer *authority.Sealer) (*Cluster, error) {
	c := &Cluster{}
	_, err := s.Tx(ctx, "bootstrap", func(tx *store.Tx) error {
		c.FirstKey = ""
		id := uuid.New().String()
		parsed, err := uuid.Parse(id)
		if err != nil {
			return err
		}
		first, err := tx.SetClusterID(ctx, parsed)
		if err != nil || !first {
			return err
		}
		c.FirstKey, err = create(ctx, tx, sealer, id, time.Now())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	err = s.View(ctx, func(tx *store.Tx) error {
		id, err := tx.ClusterID(ctx)
		if err != nil {
			return err
		}
		c.ID = id.String()
		if c.Identity, err = loadAuthority(ctx, tx, sealer, authority.Identity); err != nil {
			return err
		}
		c.Web, err = loadAuthority(ctx, tx, sealer, authority.Web)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	return c, nil
}

func create(ctx context.Context, tx *store.Tx, sealer *authority.Sealer, cluster string, now time.Time) (key string, err error) {
	for _, kind := range []authority.Kind{authority.Identity, authority.Web} {
		cert, plain, err := authority.Create(kind, cluster, now)
		if err != nil {
			return "", err
		}
		sealed, err := sealer.Seal(plain, store.AuthorityRow(string(kind)))
		if err != nil {
			return "", err
		}
		if err := tx.CreateAuthority(ctx, string(kind), cert, sealed); err != nil {
			return "", err
		}
	}
	k := &model.APIKey{Name: "bootstrap"}
	key = newKey(k)
	return key, errors.Join(
		tx.CreateOrganization(ctx, &model.Organization{ID: model.OrgID{}.New(), Name: DefaultName, Trusted: true}),
		tx.CreateRegion(ctx, &model.Region{ID: model.RegionID{}.New(), Name: DefaultName}),
		tx.CreatePool(ctx, &model.Pool{ID: model.PoolID{}.New(), Name: DefaultName}),
		tx.CreateAPIKey(ctx, k))
}

func loadAuthority(ctx context.Context, tx *store.Tx, sealer *authority.Sealer, kind authority.Kind) (*authority.Authority, error) {
	cert, sealed, err := tx.GetAuthority(ctx, string(kind))
	if err != nil {
		return nil, err
	}
	key, err := sealer.Open(sealed, store.AuthorityRow(string(kind)))
	if err != nil {
		return nil, fault.New(fault.Invalid, "the key-encryption key is not the one that this cluster was made with: %v", err)
	}
	return authority.Parse(kind, cert, key)
}
