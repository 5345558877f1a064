package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// partitioned are the tables that have a partition for each day, in UTC.
var partitioned = []string{"request_log", "traffic_15s"}

const day = 24 * time.Hour

func partition(table string, at time.Time) string { return table + at.UTC().Format("_20060102") }

// MakePartitions makes those of a day and of so many after it that are not there. Any number of replicas may do so at once.
func (s *Store) MakePartitions(ctx context.Context, first time.Time, days int) error {
	return s.partitions(ctx, func(tx pgx.Tx) error {
		for _, table := range partitioned {
			for i := range days + 1 {
				from := first.UTC().Truncate(day).Add(time.Duration(i) * day)
				var there bool
				if err := tx.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", partition(table, from)).Scan(&there); err != nil {
					return err
				}
				if there {
					continue
				}
				_, err := tx.Exec(ctx, fmt.Sprintf("CREATE TABLE %s PARTITION OF %s FOR VALUES FROM ('%s') TO ('%s')",
					partition(table, from), table, from.Format(time.RFC3339), from.Add(day).Format(time.RFC3339)))
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// DropPartitions drops those of days that were over at a moment, of the request log and of traffic, and names them.
func (s *Store) DropPartitions(ctx context.Context, requests, traffic time.Time) (dropped []string, err error) {
	before := map[string]time.Time{"request_log": requests, "traffic_15s": traffic}
	err = s.partitions(ctx, func(tx pgx.Tx) error {
		dropped = nil
		for _, table := range partitioned {
			rows, err := tx.Query(ctx, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = $1::regclass ORDER BY 1", table)
			if err != nil {
				return err
			}
			names, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			for _, name := range names {
				from, err := time.Parse("20060102", strings.TrimPrefix(name, table+"_"))
				if err != nil || from.Add(day).After(before[table]) {
					continue // it is not over, or it is somebody else's
				}
				if _, err := tx.Exec(ctx, "DROP TABLE "+pgx.Identifier{name}.Sanitize()); err != nil {
					return err
				}
				dropped = append(dropped, name)
			}
		}
		return nil
	})
	return dropped, err
}

// partitions runs fn alone among all replicas. Who reads or writes the tables waits for it, and it for them, but not for long.
func (s *Store) partitions(ctx context.Context, fn func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', '2s', true), pg_advisory_xact_lock(7310022)"); err != nil {
			return err
		}
		return fn(tx)
	})
	return classify(err, "partitions")
}
