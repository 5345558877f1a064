-- name: InsertRegion :exec
INSERT INTO regions (id, name)
VALUES (@id, @name);

-- name: UpdateRegion :execrows
UPDATE regions
   SET name = @name, updated_at = now()
 WHERE id = @id;

-- name: DeleteRegion :execrows
DELETE FROM regions WHERE id = @id;

-- name: GetRegion :one
SELECT id, name, created_at, updated_at FROM regions WHERE id = @id;

-- name: GetRegions :many
SELECT id, name, created_at, updated_at FROM regions WHERE id = ANY(@ids::uuid[]);

-- name: AllRegions :many
SELECT id, name, created_at, updated_at FROM regions;

-- name: GetRegionByName :one
SELECT id, name, created_at, updated_at FROM regions WHERE name = @name;

-- name: ListRegions :many
SELECT id, name, created_at, updated_at FROM regions WHERE name > @after ORDER BY name LIMIT @most;
