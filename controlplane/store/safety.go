package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// Safety is what the database knows of how it is kept safe.
type Safety struct {
	Database, Server string // its name, and the server's version
	Size             int64  // bytes
	Archiving        bool
	Archived         time.Time // last; zero: never
	ArchiveFailed    time.Time // last; zero: never
	Standbys         int       // that follow
	KeySince         time.Time // the newest wrapping of the data keys
}

// Safety asks the server what everybody may: of the servers that follow, only how many there are.
func (t *Tx) Safety(ctx context.Context) (out Safety, err error) {
	var archived, failed, key pgtype.Timestamptz
	err = t.behind(ctx, func() error {
		return t.tx.QueryRow(ctx, `SELECT current_database(), current_setting('server_version'), pg_database_size(current_database()),
				current_setting('archive_mode') <> 'off', coalesce(last_archived_time, '-infinity'), coalesce(last_failed_time, '-infinity'),
				(SELECT count(*) FROM pg_stat_replication), (SELECT max(created_at) FROM data_keysets)
			FROM pg_stat_archiver`).Scan(&out.Database, &out.Server, &out.Size, &out.Archiving, &archived, &failed, &out.Standbys, &key)
	})
	out.Archived, out.ArchiveFailed, out.KeySince = archived.Time, failed.Time, key.Time // that of infinity is zero
	return out, classify(err, "ask how the database is kept safe")
}
