package store

import (
	"context"
	"strconv"
	"strings"
)

// Schema says up to which migration the database has come, and how far this program goes.
func (s *Store) Schema(ctx context.Context) (have, want int, err error) {
	if err := s.pool.QueryRow(ctx, "SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&have); err != nil {
		return 0, 0, classify(err, "schema")
	}
	files, err := migrations.ReadDir("migrations")
	for _, f := range files {
		number, _, _ := strings.Cut(f.Name(), "_")
		if n, err := strconv.Atoi(number); err == nil {
			want = max(want, n)
		}
	}
	return have, want, err
}
