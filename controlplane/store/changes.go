package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/internal/db"
)

// NotifyChannel is where the database announces that there are new changes. The message is empty: what
// changed is read with Changes.
const NotifyChannel = "warren_changes"

// Changes returns the step from a revision to the newest one: the changed rows as they are then, read in
// one transaction. It is a reload when the log no longer reaches back to after, or holds more than limit
// changed rows. A batch whose To equals after has nothing new.
func (s *Store) Changes(ctx context.Context, after model.Revision, limit int) (model.Batch, error) {
	var b model.Batch
	err := s.View(ctx, func(t *Tx) (err error) {
		b, err = t.changes(ctx, after, limit)
		return err
	})
	if err != nil {
		return model.Batch{}, fmt.Errorf("changes after %d: %w", after, err)
	}
	return b, nil
}

func (t *Tx) changes(ctx context.Context, after model.Revision, limit int) (model.Batch, error) {
	head, at, err := t.head(ctx)
	if err != nil {
		return model.Batch{}, err
	}
	b := model.Batch{From: after, To: head, CommittedAt: at}
	if head == after {
		return b, nil
	}
	oldest, err := t.q.OldestRevision(ctx)
	if err != nil {
		return b, err
	}
	// The database was restored to the past, or the log is pruned: start over.
	if head < after || oldest == 0 || uint64(oldest) > uint64(after)+1 {
		return t.load(ctx)
	}
	rows, err := t.q.ChangesAfter(ctx, db.ChangesAfterParams{After: int64(after), Upto: int64(head), Most: int32(min(limit, math.MaxInt32-1)) + 1})
	if err != nil {
		return b, err
	}
	if len(rows) > limit {
		return t.load(ctx)
	}
	keys := map[string][]string{}
	for _, r := range rows {
		if r.Truncated {
			return t.load(ctx)
		}
		keys[r.Kind] = append(keys[r.Kind], r.Key)
	}
	return b, t.fill(ctx, &b, keys)
}

// Pending returns what the transaction has changed so far, as a step that nobody sees yet, whoever it acts for. After it
// the transaction is only good for being taken back: it holds the counter of revisions, and has no walls any more.
func (t *Tx) Pending(ctx context.Context, limit int) (b model.Batch, err error) {
	rev, err := t.stamp(ctx)
	if err != nil || rev == 0 {
		return b, classify(err, "pending changes")
	}
	err = t.behind(ctx, func() error {
		if _, err := t.tx.Exec(ctx, "SELECT set_config('warren.organizations', '', true)"); err != nil {
			return err
		}
		b, err = t.changes(ctx, rev-1, limit)
		return err
	})
	return b, classify(err, "pending changes")
}

// Load returns everything at the newest revision.
func (s *Store) Load(ctx context.Context) (model.Batch, error) {
	var b model.Batch
	err := s.View(ctx, func(t *Tx) (err error) {
		b, err = t.load(ctx)
		return err
	})
	if err != nil {
		return model.Batch{}, fmt.Errorf("load: %w", err)
	}
	return b, nil
}

// Prune forgets changes that were committed before a moment. Who is further behind reloads.
func (s *Store) Prune(ctx context.Context, before time.Time) (int64, error) {
	var n int64
	err := s.run(ctx, pgxDefault, As{All: true}, func(t *Tx) (err error) {
		if n, err = t.q.PruneRevisions(ctx, before); err != nil {
			return err
		}
		return t.q.PruneChanges(ctx)
	})
	return n, err
}

// RevisionInfo says who made a revision, when.
type RevisionInfo struct {
	CommittedAt time.Time
	Actor       string
}

// Revision returns who made a revision; NotFound when it is pruned.
func (t *Tx) Revision(ctx context.Context, rev model.Revision) (RevisionInfo, error) {
	r, err := t.q.GetRevision(ctx, int64(rev))
	return RevisionInfo{r.CommittedAt, r.Actor}, classify(err, fmt.Sprintf("revision %d", rev))
}

// Head returns the newest revision.
func (t *Tx) Head(ctx context.Context) (model.Revision, error) {
	rev, _, err := t.head(ctx)
	return rev, classify(err, "newest revision")
}

func (t *Tx) head(ctx context.Context) (model.Revision, time.Time, error) {
	h, err := t.q.Head(ctx)
	return model.Revision(h.Rev), timeOrZero(h.CommittedAt), err
}

// loadTimeout bounds each query of a load, which reads whole tables and may wait for two others.
const loadTimeout = time.Minute

// load reads everything. The transaction's snapshot may be older than the wait for the lock; what was
// committed meanwhile is the next step.
func (t *Tx) load(ctx context.Context) (model.Batch, error) {
	if _, err := t.tx.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d", loadTimeout.Milliseconds())); err != nil {
		return model.Batch{}, err
	}
	if err := t.q.LockLoad(ctx); err != nil {
		return model.Batch{}, err
	}
	head, at, err := t.head(ctx)
	if err != nil {
		return model.Batch{}, err
	}
	b := model.Batch{To: head, CommittedAt: at, Reload: true}
	return b, t.fill(ctx, &b, nil)
}

// fill reads the rows with the given keys by kind, or all rows when keys is nil.
func (t *Tx) fill(ctx context.Context, b *model.Batch, keys map[string][]string) (err error) {
	step := func(load func() error) {
		if err == nil {
			err = load()
		}
	}
	q, f := t.q, filler{ctx, keys}
	step(func() (e error) {
		b.Organizations, e = fetch(f, "organizations", q.AllOrganizations, q.GetOrganizations, organization, func(v *model.Organization) model.OrgID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Regions, e = fetch(f, "regions", q.AllRegions, q.GetRegions, region, func(v *model.Region) model.RegionID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Pools, e = fetch(f, "pools", q.AllPools, q.GetPools, pool, func(v *model.Pool) model.PoolID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Nodes, e = fetch(f, "nodes", q.AllNodes, q.GetNodes, node, func(v *model.Node) model.NodeID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Sites, e = fetch(f, "sites", q.AllSites, q.GetSites, site, func(v *model.Site) model.SiteID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Connectors, e = fetch(f, "connectors", q.AllConnectors, q.GetConnectors, connector, func(v *model.Connector) model.ConnectorID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Services, e = fetch(f, "services", q.AllServices, q.GetServices, service, func(v *model.Service) model.ServiceID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Targets, e = fetch(f, "targets", q.AllTargets, q.GetTargets, target, func(v *model.Target) model.TargetID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Domains, e = fetch(f, "domains", q.AllDomains, q.GetDomains, domain, func(v *model.Domain) model.DomainID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Certificates, e = fetch(f, "certificates", q.AllCertificates, q.GetCertificates, certificate, func(v *model.Certificate) model.CertificateID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.GossipKeys, e = fetch(f, "gossip_keys", q.AllGossipKeys, q.GetGossipKeys, gossipKey, func(v *model.GossipKey) model.GossipKeyID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Challenges, e = fetch(f, "challenges", q.AllChallenges, q.GetChallenges, challenge, func(v *model.Challenge) model.ChallengeID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.TicketKeys, e = fetch(f, "ticket_keys", q.AllTicketKeys, q.GetTicketKeys, ticketKey, func(v *model.TicketKey) model.TicketKeyID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Policies, e = fetch(f.with("policies", "share_links", "service_tokens"), "policies", t.allPolicies, t.getPolicies,
			func(v *model.Policy) *model.Policy { return v }, func(v *model.Policy) model.PolicyID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Issuers, e = fetch(f, "issuers", q.AllIssuers, q.GetIssuers, issuer, func(v *model.Issuer) model.IssuerID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.AccessKeys, e = fetch(f, "access_keys", q.AllAccessKeys, q.GetAccessKeys, accessKey, func(v *model.AccessKey) model.AccessKeyID { return v.ID })
		return e
	})
	step(func() (e error) {
		b.Revocations, e = fetch(f, "access_revocations", q.AllAccessRevocations, q.GetAccessRevocations, accessRevocation, func(v *model.AccessRevocation) model.RevocationID { return v.ID })
		return e
	})
	step(func() error { return t.fillSettings(ctx, b, keys) })
	step(func() error { return t.fillAuthorities(ctx, b, keys) })
	return err
}

// fillSettings reads what of the settings the model has.
func (t *Tx) fillSettings(ctx context.Context, b *model.Batch, keys map[string][]string) error {
	if keys != nil && keys["settings"] == nil {
		return nil
	}
	r, err := t.q.GetSettings(ctx)
	if errors.Is(err, pgx.ErrNoRows) { // not bootstrapped yet
		return nil
	}
	b.SignInURL = &r.SignInUrl
	return err
}

// fillAuthorities reads the certificates of all authorities, of which there are two.
func (t *Tx) fillAuthorities(ctx context.Context, b *model.Batch, keys map[string][]string) error {
	if keys != nil && keys["authorities"] == nil {
		return nil
	}
	rows, err := t.q.AllAuthorities(ctx)
	b.Authorities = map[string][]byte{}
	for _, k := range keys["authorities"] {
		b.Authorities[k] = nil
	}
	for _, r := range rows {
		b.Authorities[r.Kind] = r.CertPem
	}
	return err
}

// filler is what fetch needs besides the table.
type filler struct {
	ctx  context.Context
	keys map[string][]string
}

// with has the keys of several kinds under the first of them: of rows that are a part of another one, the other's key is
// logged.
func (f filler) with(kind string, parts ...string) filler {
	if f.keys == nil {
		return f
	}
	all := slices.Clone(f.keys[kind])
	for _, p := range parts {
		all = append(all, f.keys[p]...)
	}
	slices.Sort(all)
	return filler{f.ctx, map[string][]string{kind: slices.Compact(all)}}
}

// fetch reads the changed rows of one table; keys without a row become nil.
func fetch[ID interface {
	comparable
	~struct{ uuid.UUID }
}, R, V any](f filler, kind string, all func(context.Context) ([]R, error), some func(context.Context, []uuid.UUID) ([]R, error),
	conv func(R) *V, id func(*V) ID,
) (map[ID]*V, error) {
	if f.keys == nil {
		rows, err := all(f.ctx)
		out := make(map[ID]*V, len(rows))
		for _, r := range rows {
			v := conv(r)
			out[id(v)] = v
		}
		return out, err
	}
	keys := f.keys[kind]
	if len(keys) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(keys))
	out := make(map[ID]*V, len(keys))
	for i, k := range keys {
		u, err := uuid.Parse(k)
		if err != nil {
			return nil, fmt.Errorf("change of %s: key %q: %w", kind, k, err)
		}
		ids[i] = u
		out[ID(struct{ uuid.UUID }{u})] = nil
	}
	rows, err := some(f.ctx, ids)
	for _, r := range rows {
		v := conv(r)
		out[id(v)] = v
	}
	return out, err
}
