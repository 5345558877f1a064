package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/warrenedge/warren/controlplane/authority"
	"github.com/warrenedge/warren/controlplane/config"
	"github.com/warrenedge/warren/controlplane/console"
	"github.com/warrenedge/warren/controlplane/presence"
	"github.com/warrenedge/warren/controlplane/rest"
	"github.com/warrenedge/warren/controlplane/store"
)

// diagnosis looks at what this replica stands on, all of it at once.
type diagnosis struct {
	cfg    *config.Config
	db     *store.Store
	sealer *authority.Sealer
	seen   *presence.Store
}

// look implements rest.Options.Diagnose.
func (d diagnosis) look(ctx context.Context) []rest.Diagnosis {
	checks := []func(context.Context) rest.Diagnosis{d.database, d.schema, d.keys, d.cache, d.mail, d.disk}
	out := make([]rest.Diagnosis, len(checks))
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() { out[i] = check(ctx) })
	}
	all.Wait()
	return out
}

// shown is what look found, for the console.
func (d diagnosis) shown(ctx context.Context) (out []console.Check) {
	for _, v := range d.look(ctx) {
		out = append(out, console.Check(v))
	}
	return out
}

func failed(name string, err error, fix string) rest.Diagnosis {
	return rest.Diagnosis{Name: name, State: "failed", Cause: err.Error(), Fix: fix}
}

func (d diagnosis) database(ctx context.Context) rest.Diagnosis {
	begun := time.Now()
	if err := d.db.Ping(ctx); err != nil {
		return failed("database", err, "look at PostgreSQL and at database_url of this replica")
	}
	const slow = 250 * time.Millisecond
	if took := time.Since(begun); took > slow {
		return rest.Diagnosis{Name: "database", State: "warning", Cause: fmt.Sprintf("it took %s to answer", took.Round(time.Millisecond)), Fix: "look at the load of PostgreSQL and at the way to it"}
	}
	return rest.Diagnosis{Name: "database", State: "ok"}
}

func (d diagnosis) schema(ctx context.Context) rest.Diagnosis {
	switch have, want, err := d.db.Schema(ctx); {
	case err != nil:
		return failed("migrations", err, "look at PostgreSQL")
	case have < want:
		return failed("migrations", fmt.Errorf("the schema is at step %d, this program needs %d", have, want), "warren-control migrate")
	case have > want:
		return rest.Diagnosis{Name: "migrations", State: "warning", Cause: fmt.Sprintf("the schema is at step %d, this program knows %d: another replica is newer", have, want), Fix: "bring all replicas to the same version"}
	}
	return rest.Diagnosis{Name: "migrations", State: "ok"}
}

// keys seals and opens something with the data keys, which the key-encryption key has opened.
func (d diagnosis) keys(context.Context) rest.Diagnosis {
	const text = "diagnosis"
	sealed, err := d.sealer.Seal([]byte(text), text)
	if err == nil {
		var plain []byte
		if plain, err = d.sealer.Open(sealed, text); err == nil && !bytes.Equal(plain, []byte(text)) {
			err = fmt.Errorf("what was sealed opens to something else")
		}
	}
	if err != nil {
		return failed("key-encryption key", err, "give this replica the same kek_file or kek_command as the others")
	}
	return rest.Diagnosis{Name: "key-encryption key", State: "ok"}
}

func (d diagnosis) cache(context.Context) rest.Diagnosis {
	switch {
	case d.cfg.ValkeyURL == "":
		return rest.Diagnosis{Name: "valkey", State: "skipped", Cause: "there is one replica, which needs none"}
	case !d.seen.Live():
		return failed("valkey", fmt.Errorf("this replica does not hear the others"), "look at Valkey or Redis and at valkey_url of this replica")
	}
	return rest.Diagnosis{Name: "valkey", State: "ok"}
}

func (d diagnosis) mail(ctx context.Context) rest.Diagnosis {
	if d.cfg.Mail.Server == "" {
		return rest.Diagnosis{Name: "mail", State: "skipped", Cause: "mail.server is not set: links are shown to who makes them, and alerts are not mailed"}
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.cfg.Mail.Server)
	if err != nil {
		return failed("mail", err, "look at mail.server and at the way to it")
	}
	_ = c.Close()
	return rest.Diagnosis{Name: "mail", State: "ok"}
}

// disk looks at where this replica runs: that of the database is PostgreSQL's to watch.
func (d diagnosis) disk(context.Context) rest.Diagnosis {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(".", &fs); err != nil {
		return rest.Diagnosis{Name: "disk", State: "skipped", Cause: err.Error()}
	}
	const least = 5 // percent
	if free := fs.Bavail * 100 / max(fs.Blocks, 1); free < least {
		return rest.Diagnosis{Name: "disk", State: "warning", Cause: fmt.Sprintf("%d %% of this replica's disk is free", free), Fix: "make room: logs first"}
	}
	return rest.Diagnosis{Name: "disk", State: "ok"}
}
