-- name: InsertAPIKey :exec
INSERT INTO api_keys (id, org_id, name, hash, expires_at)
VALUES (@id, @org_id, @name, @hash, @expires_at);

-- name: UpdateAPIKey :execrows
UPDATE api_keys
   SET org_id = @org_id, name = @name, hash = @hash, expires_at = @expires_at, updated_at = now()
 WHERE id = @id;

-- name: DeleteAPIKey :execrows
DELETE FROM api_keys WHERE id = @id;

-- name: GetAPIKey :one
SELECT id, org_id, name, hash, expires_at, created_at, updated_at FROM api_keys WHERE id = @id;

-- name: ListAPIKeysNamed :many
SELECT id, org_id, name, hash, expires_at, created_at, updated_at FROM api_keys WHERE name = @name ORDER BY id LIMIT @most;

-- name: ListAPIKeys :many
SELECT id, org_id, name, hash, expires_at, created_at, updated_at FROM api_keys WHERE id > @after ORDER BY id LIMIT @most;

-- name: GetAPIKeyByHash :one
SELECT id, org_id, name, hash, expires_at, created_at, updated_at FROM api_keys WHERE hash = @hash;
