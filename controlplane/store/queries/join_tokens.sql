-- name: InsertJoinToken :exec
INSERT INTO join_tokens (id, node_id, connector_id, name, hash, expires_at, used_at)
VALUES (@id, @node_id, @connector_id, @name, @hash, @expires_at, @used_at);

-- name: UpdateJoinToken :execrows
UPDATE join_tokens
   SET node_id = @node_id, connector_id = @connector_id, name = @name, hash = @hash, expires_at = @expires_at, used_at = @used_at, updated_at = now()
 WHERE id = @id;

-- name: DeleteJoinToken :execrows
DELETE FROM join_tokens WHERE id = @id;

-- name: GetJoinToken :one
SELECT id, node_id, connector_id, name, hash, expires_at, used_at, created_at, updated_at FROM join_tokens WHERE id = @id;

-- name: ListJoinTokens :many
SELECT id, node_id, connector_id, name, hash, expires_at, used_at, created_at, updated_at FROM join_tokens WHERE id > @after ORDER BY id LIMIT @most;

-- name: UseJoinToken :one
-- Takes a token for good: of two who try at once, one gets it.
UPDATE join_tokens SET used_at = @now::timestamptz, updated_at = now()
 WHERE hash = @hash AND used_at IS NULL AND expires_at > @now::timestamptz
RETURNING id, node_id, connector_id, name, hash, expires_at, used_at, created_at, updated_at;

-- name: VoidJoinTokens :exec
-- Unused tokens of one subject, before it gets a new one.
DELETE FROM join_tokens
 WHERE used_at IS NULL AND (node_id = sqlc.narg('node_id')::uuid OR connector_id = sqlc.narg('connector_id')::uuid);
