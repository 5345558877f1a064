-- name: InsertJoinToken :exec
INSERT INTO join_tokens (id, node_id, connector_id, name, hash, expires_at, used_at, created_by)
VALUES (@id, @node_id, @connector_id, @name, @hash, @expires_at, @used_at, @created_by);

-- name: UpdateJoinToken :execrows
UPDATE join_tokens
   SET node_id = @node_id, connector_id = @connector_id, name = @name, hash = @hash, expires_at = @expires_at, used_at = @used_at, created_by = @created_by, updated_at = now()
 WHERE id = @id;

-- name: DeleteJoinToken :execrows
-- A token that is used meanwhile stays: who revokes it would believe that nobody has joined.
DELETE FROM join_tokens WHERE id = @id AND used_at IS NULL;

-- name: GetJoinToken :one
SELECT id, node_id, connector_id, name, hash, expires_at, used_at, created_at, updated_at, created_by FROM join_tokens WHERE id = @id;

-- name: ListJoinTokens :many
-- The newest first: those that are still good stand at the top. With an organization, those of its connectors.
SELECT j.id, j.node_id, j.connector_id, j.name, j.hash, j.expires_at, j.used_at, j.created_at, j.updated_at, j.created_by
  FROM join_tokens j LEFT JOIN connectors c ON c.id = j.connector_id
 WHERE (sqlc.narg('before')::uuid IS NULL OR j.id < sqlc.narg('before')::uuid)
   AND (sqlc.narg('org_id')::uuid IS NULL OR c.org_id = sqlc.narg('org_id')::uuid)
 ORDER BY j.id DESC LIMIT @most;

-- name: UseJoinToken :one
-- Takes a token for good: of two who try at once, one gets it.
UPDATE join_tokens SET used_at = @now::timestamptz, updated_at = now()
 WHERE hash = @hash AND used_at IS NULL AND expires_at > @now::timestamptz
RETURNING id, node_id, connector_id, name, hash, expires_at, used_at, created_at, updated_at, created_by;

-- name: VoidJoinTokens :exec
-- Unused tokens of one subject, before it gets a new one.
DELETE FROM join_tokens
 WHERE used_at IS NULL AND (node_id = sqlc.narg('node_id')::uuid OR connector_id = sqlc.narg('connector_id')::uuid);

-- name: PruneJoinTokens :execrows
DELETE FROM join_tokens WHERE coalesce(used_at, expires_at) < @before::timestamptz;
