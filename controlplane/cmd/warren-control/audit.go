package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/warrenedge/warren/controlplane/admin"
	"github.com/warrenedge/warren/controlplane/store"
	"github.com/warrenedge/warren/shared/daemon"
)

// anchorEvery is how much of the audit log may be written anew without anybody noticing.
const anchorEvery = time.Hour

// anchorer signs the head of the audit log. The words about it are an anchor as well, as soon as they are kept on
// another machine than the database. Several replicas that do so make more anchors, no worse ones.
func anchorer(db *store.Store, cluster *admin.Cluster, log *slog.Logger) daemon.Task {
	return daemon.Func("audit", func(ctx context.Context) error {
		tick := time.NewTicker(anchorEvery)
		defer tick.Stop()
		for {
			switch n, err := admin.AnchorAudit(ctx, db, cluster.ID, cluster.Identity); {
			case err != nil && ctx.Err() == nil:
				log.Warn("audit log not anchored", "err", err)
			case n != nil:
				log.Info("audit log anchored", "seq", n.Seq, "hash", n.Hash.String(), "at", n.At, "signature", n.Signature)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
		}
	})
}
