-- name: Head :one
SELECT c.rev, r.committed_at
  FROM revision_counter c LEFT JOIN revisions r USING (rev);

-- name: OldestRevision :one
-- The oldest revision whose changes are still in the log; 0 when there is none.
SELECT coalesce(min(rev), 0)::bigint FROM revisions;

-- name: ChangesAfter :many
SELECT kind, key, bool_or(op = 'truncate')::boolean AS truncated
  FROM change_log
 WHERE rev > @after::bigint AND rev <= @upto::bigint
 GROUP BY kind, key
 ORDER BY kind, key
 LIMIT @most;

-- name: GetRevision :one
SELECT rev, committed_at, actor FROM revisions WHERE rev = @rev;

-- name: PruneRevisions :execrows
-- The log stays one piece up to the newest revision, also when the clock was set back meanwhile.
DELETE FROM revisions
 WHERE rev < (SELECT coalesce(min(r.rev) FILTER (WHERE r.committed_at >= @before::timestamptz), max(r.rev)) FROM revisions r);

-- name: PruneChanges :exec
DELETE FROM change_log WHERE rev < (SELECT min(r.rev) FROM revisions r);

-- name: LockLoad :exec
-- At most two replicas read everything at once.
SELECT pg_advisory_xact_lock(7310003, pg_backend_pid() % 2);
