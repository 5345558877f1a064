-- name: Head :one
SELECT c.revision, r.committed_at
  FROM revision_counter c LEFT JOIN revisions r USING (revision);

-- name: OldestRevision :one
-- The oldest revision whose changes are still in the log; null when there is none.
SELECT min(revision)::bigint FROM revisions;

-- name: ChangesAfter :many
SELECT kind, key, bool_or(op = 'truncate')::boolean AS truncated
  FROM change_log
 WHERE revision > @after::bigint AND revision <= @upto::bigint
 GROUP BY kind, key
 ORDER BY kind, key
 LIMIT @most;

-- name: GetRevision :one
SELECT revision, committed_at, actor FROM revisions WHERE revision = @revision;

-- name: PruneRevisions :execrows
DELETE FROM revisions WHERE committed_at < @before AND revision < (SELECT c.revision FROM revision_counter c);

-- name: PruneChanges :exec
DELETE FROM change_log l WHERE l.revision IS NOT NULL AND NOT EXISTS (SELECT 1 FROM revisions r WHERE r.revision = l.revision);
