-- name: LockDataKeys :exec
-- Whoever changes the data keys is alone until its transaction ends.
SELECT pg_advisory_xact_lock(7310008);

-- name: DataKeyGeneration :one
SELECT coalesce(max(generation), 0)::bigint FROM data_keysets;

-- name: AllDataKeysets :many
SELECT id, generation, wrapped, created_at FROM data_keysets ORDER BY created_at, id;

-- name: InsertDataKeyset :exec
INSERT INTO data_keysets (id, generation, wrapped) VALUES (@id, @generation, @wrapped);

-- name: UpdateDataKeyset :execrows
UPDATE data_keysets SET generation = @generation, wrapped = @wrapped WHERE id = @id;

-- name: DeleteDataKeyset :execrows
DELETE FROM data_keysets WHERE id = @id;

-- name: InsertDataKey :exec
INSERT INTO data_keys (id) VALUES (@id) ON CONFLICT DO NOTHING;

-- name: DeleteDataKey :exec
DELETE FROM data_keys WHERE id = @id;

-- name: HasAuthorities :one
SELECT EXISTS (SELECT 1 FROM authorities)::boolean;

-- name: LockDataKey :exec
-- Waits for the transactions that seal with the key, before all that come later; see sealed_with_data_key.
SELECT pg_advisory_xact_lock(7310010, @id::int);
