package main

import (
	"context"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/config"
	"github.com/warrenedge/warren/controlplane/fault"
	"github.com/warrenedge/warren/controlplane/store/storetest"
)

// told calls a function with the message of each record.
type told struct {
	slog.Handler
	tell func(msg string)
}

func (h told) Handle(_ context.Context, r slog.Record) error { h.tell(r.Message); return nil }
func (h told) Enabled(context.Context, slog.Level) bool      { return true }

// A replica that is there before its database starts when that is there; it says that it waits. What waiting doesn't mend ends it.
func TestAReplicaWaitsForItsDatabase(t *testing.T) {
	dsn, err := url.Parse(storetest.DSN(t))
	if err != nil {
		t.Fatal(err)
	}
	q := dsn.Query()
	there := q.Get("host")
	door := filepath.Join(t.TempDir(), "door")
	q.Set("host", door)
	dsn.RawQuery = q.Encode()

	raw, err := authority.NewKEK()
	if err != nil {
		t.Fatal(err)
	}
	kek, err := authority.ParseKEK(raw)
	if err != nil {
		t.Fatal(err)
	}
	var waits atomic.Int32
	log := slog.New(told{slog.DiscardHandler, func(msg string) {
		if msg == "waiting for the database" && waits.Add(1) == 2 {
			if err := os.Symlink(there, door); err != nil {
				t.Error(err)
			}
		}
	}})
	cfg := &config.Config{DatabaseURL: config.Secret(dsn.String())}
	f, err := awaitDatabase(t.Context(), cfg, storetest.Open(t, dsn.String()), kek, log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.replicas.release()
	if n := waits.Load(); n != 2 || f.cluster.FirstKey == "" {
		t.Errorf("%d waits; a first key: %v", n, f.cluster.FirstKey != "")
	}

	// The same is said of a second replica that may not be: at once.
	if _, err := awaitDatabase(t.Context(), cfg, storetest.Open(t, dsn.String()), kek, log); fault.Of(err) != fault.Conflict {
		t.Errorf("a second replica without Valkey: %v", err)
	}
	dsn.Path = "/nowhere"
	if _, err := awaitDatabase(t.Context(), cfg, storetest.Open(t, dsn.String()), kek, log); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("a database that doesn't exist: %v", err)
	}
	if n := waits.Load(); n != 2 {
		t.Errorf("waited %d times for what comes by itself", n-2)
	}
}
