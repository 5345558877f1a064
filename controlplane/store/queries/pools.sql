-- name: InsertPool :exec
INSERT INTO pools (id, name)
VALUES (@id, @name);

-- name: UpdatePool :execrows
UPDATE pools
   SET name = @name, updated_at = now()
 WHERE id = @id;

-- name: DeletePool :execrows
DELETE FROM pools WHERE id = @id;

-- name: GetPool :one
SELECT id, name, created_at, updated_at FROM pools WHERE id = @id;

-- name: GetPools :many
SELECT id, name, created_at, updated_at FROM pools WHERE id = ANY(@ids::uuid[]);

-- name: AllPools :many
SELECT id, name, created_at, updated_at FROM pools;

-- name: GetPoolByName :one
SELECT id, name, created_at, updated_at FROM pools WHERE name = @name;

-- name: ListPools :many
SELECT id, name, created_at, updated_at FROM pools WHERE name > @after ORDER BY name LIMIT @most;
