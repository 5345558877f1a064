-- name: GetPassingSet :one
SELECT org_id, name, owner, lifetime_s, expires_at FROM passing_sets WHERE org_id = @org_id AND name = @name FOR UPDATE;

-- name: PutPassingSet :exec
INSERT INTO passing_sets (org_id, name, owner, lifetime_s, expires_at) VALUES (@org_id, @name, @owner, @lifetime_s, @expires_at)
ON CONFLICT (org_id, name) DO UPDATE SET lifetime_s = excluded.lifetime_s, expires_at = excluded.expires_at;

-- name: DeletePassingSet :exec
DELETE FROM passing_sets WHERE org_id = @org_id AND name = @name;

-- name: OverPassingSet :one
-- The one that is over for the longest, which nobody else looks at until the transaction ends.
SELECT org_id, name, owner, lifetime_s, expires_at FROM passing_sets WHERE expires_at <= @now ORDER BY expires_at LIMIT 1 FOR UPDATE SKIP LOCKED;

-- name: PutOffPassingSet :exec
UPDATE passing_sets SET expires_at = @until WHERE org_id = @org_id AND name = @name AND expires_at <= @now;

-- name: SetKeeps :one
SELECT EXISTS (SELECT FROM object_labels WHERE managed_by = @name AND org_id IS NOT DISTINCT FROM sqlc.narg('org_id')::uuid);
