// Package storetest gives each test a fresh, migrated database on a real PostgreSQL server.
package storetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warrenedge/warren/controlplane/localpg"
	"github.com/warrenedge/warren/controlplane/store"
)

var (
	server *localpg.Server
	serial atomic.Int64
)

// Main starts the server for all tests of a package, runs them and ends the process; call it from
// TestMain. On a machine without PostgreSQL the tests fail, and say which package is missing.
func Main(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "wrn") // short: it holds a unix socket
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Chmod(dir, 0o755) // the server may run as another account
	}
	if err == nil {
		err = start(dir)
	}
	if server != nil {
		defer func() { _ = server.Stop(context.Background()) }()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "storetest:", err)
		return 1
	}
	return m.Run()
}

func start(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var err error
	if server, err = localpg.Start(ctx, localpg.Options{Dir: filepath.Join(dir, "pg"), Unsafe: true}); err != nil {
		return err
	}
	if err := admin(ctx, "CREATE DATABASE template"); err != nil {
		return err
	}
	s, err := store.Open(ctx, server.DSN("template"), store.Options{})
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Migrate(ctx)
}

func admin(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, server.DSN(""))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// DSN makes a fresh migrated database and returns its connection string.
func DSN(t testing.TB) string { return fresh(t, "template") }

// EmptyDSN makes a fresh database without a schema and returns its connection string.
func EmptyDSN(t testing.TB) string { return fresh(t, "template1") }

func fresh(t testing.TB, template string) string {
	t.Helper()
	if server == nil {
		t.Fatal("no database server: TestMain must call storetest.Main")
	}
	name := fmt.Sprintf("t%d", serial.Add(1))
	// Files are copied whole: page by page, through the log, is four times as much work.
	if err := admin(t.Context(), "CREATE DATABASE "+name+" TEMPLATE "+template+" STRATEGY FILE_COPY"); err != nil {
		t.Fatal(err)
	}
	return server.DSN(name)
}

// Analyze lets a database know how much a test has put into it. Otherwise the plans that connections have made when it was empty stay, and each row is
// looked for among all.
func Analyze(t testing.TB, dsn string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), "ANALYZE"); err != nil {
		t.Fatal(err)
	}
}

// New opens a fresh migrated database.
func New(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, DSN(t))
}

// Open opens a database until the test ends. Connections are never too old: simulated hours pass in no time, and each new one costs more than
// what it is asked.
func Open(t testing.TB, dsn string) *store.Store {
	t.Helper()
	const lasting = "&pool_max_conn_lifetime=100000h&pool_max_conn_idle_time=100000h&pool_health_check_period=100000h"
	s, err := store.Open(t.Context(), dsn+lasting, store.Options{MaxConns: 20, StatementTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}
