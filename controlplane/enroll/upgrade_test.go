package enroll

import (
	"context"
	"database/sql"
	"log/slog"
	"os"
	"slices"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/prometheus/client_golang/prometheus"

	enrollv1 "github.com/warrenedge/warren/api/enroll/v1"
	"github.com/warrenedge/warren/controlplane/access"
	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/model"
	"github.com/warrenedge/warren/controlplane/store/storetest"
	"github.com/warrenedge/warren/shared/identity"
)

// A database from before nodes announced themselves does not say who wrote where they are. After the upgrade that is
// kept, shown as pinned, and what a node says counts as soon as somebody has written the node without it.
func TestNodesFromBeforeAnnouncements(t *testing.T) {
	dsn := storetest.EmptyDSN(t)
	conn, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	steps, err := goose.NewProvider(goose.DialectPostgres, conn, os.DirFS("../store/migrations"), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := steps.UpTo(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	reached, unreached := model.NodeID{}.New(), model.NodeID{}.New()
	for _, row := range []string{
		"INSERT INTO pools (id, name) VALUES ($1, 'p')",
		"INSERT INTO nodes (id, name, pool_id, addresses, wireguard_endpoint, wireguard_public_key) SELECT $1, 'old', id, '{192.0.2.1}', '192.0.2.1:51820', decode(repeat('01', 32), 'hex') FROM pools",
		"INSERT INTO nodes (id, name, pool_id, wireguard_public_key) SELECT $1, 'bare', id, decode(repeat('02', 32), 'hex') FROM pools",
	} {
		id := map[byte]any{'p': model.PoolID{}.New().UUID, 'o': reached.UUID, 'b': unreached.UUID}[row[slices.Index([]byte(row), '\'')+1]]
		if _, err := conn.ExecContext(t.Context(), row, id); err != nil {
			t.Fatalf("%s: %v", row, err)
		}
	}

	db := storetest.Open(t, dsn)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	nodes, operator := admin.New(db, nil, nil, "").Nodes, access.Principal{Key: model.APIKeyID{}.New(), Grants: access.Everything()}
	var who identity.Identity
	srv := New("cluster-1", db, nil, func(ctx context.Context) (identity.Identity, context.Context, error) { return who, ctx, nil },
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	announce := func(id model.NodeID, at string) admin.Node {
		t.Helper()
		who = identity.Identity{Cluster: "cluster-1", Kind: identity.Node, ID: id.String()}
		if _, err := srv.Announce(t.Context(), &enrollv1.AnnounceRequest{Addresses: []string{at}, WireguardEndpoint: at + ":51820", StreamEndpoint: at + ":443"}); err != nil {
			t.Fatal(err)
		}
		n, err := nodes.Get(t.Context(), operator, "", id.String())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	check := func(when string, n admin.Node, address, endpoint string, pinned ...string) {
		t.Helper()
		if !slices.Equal(n.Addresses, []string{address}) || n.WireGuardEndpoint != endpoint || !slices.Equal(n.Pinned, pinned) {
			t.Errorf("%s: %v, %s, pinned %v", when, n.Addresses, n.WireGuardEndpoint, n.Pinned)
		}
	}
	check("from before", announce(reached, "203.0.113.1"), "192.0.2.1", "192.0.2.1:51820", "addresses", "wireguard_endpoint")
	check("where nothing was written", announce(unreached, "203.0.113.2"), "203.0.113.2", "203.0.113.2:51820")

	if _, _, _, err := nodes.Put(t.Context(), operator, "", "old", admin.NodeSpec{Pool: "p"}); err != nil {
		t.Fatal(err)
	}
	check("written without", announce(reached, "203.0.113.1"), "203.0.113.1", "203.0.113.1:51820")
}
