-- name: InsertAPIKey :exec
INSERT INTO api_keys (id, org_id, name, hash, expires_at, user_id, service_account_id, permissions, allow, second_factor_at)
VALUES (@id, @org_id, @name, @hash, @expires_at, @user_id, @service_account_id, @permissions, @allow, @second_factor_at);

-- name: UpdateAPIKey :execrows
UPDATE api_keys
   SET org_id = @org_id, name = @name, hash = @hash, expires_at = @expires_at, user_id = @user_id, service_account_id = @service_account_id,
       permissions = @permissions, allow = @allow, updated_at = now()
 WHERE id = @id;

-- name: TouchAPIKey :exec
-- Not waited for: of two who have used it at once, one writes.
UPDATE api_keys SET used_at = @used_at, used_from = @used_from
 WHERE id = (SELECT k.id FROM api_keys k WHERE k.id = @id AND (k.used_at IS NULL OR k.used_at < @used_at) FOR UPDATE SKIP LOCKED);

-- name: DeleteAPIKey :execrows
DELETE FROM api_keys WHERE id = @id;

-- name: GetAPIKey :one
SELECT id, org_id, name, hash, expires_at, created_at, updated_at, user_id, service_account_id, permissions, allow, used_at, used_from, second_factor_at
  FROM api_keys WHERE id = @id;

-- name: ListAPIKeysNamed :many
SELECT id, org_id, name, hash, expires_at, created_at, updated_at, user_id, service_account_id, permissions, allow, used_at, used_from, second_factor_at
  FROM api_keys WHERE name = @name AND (sqlc.narg('org_id')::uuid IS NULL OR org_id = sqlc.narg('org_id')::uuid)
   AND (sqlc.narg('user_id')::uuid IS NULL OR user_id = sqlc.narg('user_id')::uuid) ORDER BY id LIMIT @most;

-- name: ListAPIKeys :many
SELECT id, org_id, name, hash, expires_at, created_at, updated_at, user_id, service_account_id, permissions, allow, used_at, used_from, second_factor_at
  FROM api_keys WHERE id > @after AND (sqlc.narg('org_id')::uuid IS NULL OR org_id = sqlc.narg('org_id')::uuid)
   AND (sqlc.narg('user_id')::uuid IS NULL OR user_id = sqlc.narg('user_id')::uuid) ORDER BY id LIMIT @most;

-- name: GetAPIKeyByHash :one
SELECT id, org_id, name, hash, expires_at, created_at, updated_at, user_id, service_account_id, permissions, allow, used_at, used_from, second_factor_at
  FROM api_keys WHERE hash = @hash;
