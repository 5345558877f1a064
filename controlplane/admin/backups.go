package admin

import (
	"context"
	"time"

	"github.com/warrenedge/warren/controlplane/access"
)

// Backups is what the database says of how it is kept safe. Copies that others make of it, by pg_dump for example, it knows nothing of.
type Backups struct {
	Database        string     `json:"database" doc:"Its name"`
	Server          string     `json:"server" doc:"PostgreSQL's version"`
	SizeBytes       int64      `json:"size_bytes"`
	Archiving       bool       `json:"archiving" doc:"PostgreSQL archives its log, so that it can be restored to any moment after a base backup"`
	ArchivedAt      *time.Time `json:"archived_at,omitempty" doc:"When a part of the log was archived last"`
	ArchiveFailedAt *time.Time `json:"archive_failed_at,omitempty" doc:"When that failed last, if that is later"`
	Standbys        int        `json:"standbys" doc:"Servers that follow this one"`
	KeySince        time.Time  `json:"key_since" doc:"Since when the present key-encryption key is in use: a backup from before is opened by the one of then"`
}

// Backups says what is known of backups.
func (a *Admin) Backups(ctx context.Context, p access.Principal) (out Backups, err error) {
	err = a.read(ctx, p, func(c *call) error {
		if err := p.Check(access.ClusterManage); err != nil {
			return err
		}
		v, err := c.tx.Safety(c)
		if err != nil {
			return err
		}
		out = Backups{
			Database: v.Database, Server: v.Server, SizeBytes: v.Size, Archiving: v.Archiving, ArchivedAt: when(v.Archived), Standbys: v.Standbys, KeySince: v.KeySince.UTC(),
		}
		if v.ArchiveFailed.After(v.Archived) {
			out.ArchiveFailedAt = when(v.ArchiveFailed)
		}
		return nil
	})
	return out, err
}
