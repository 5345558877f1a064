-- name: InsertService :exec
INSERT INTO services (id, org_id, name, kind, hostname, pool_id)
VALUES (@id, @org_id, @name, @kind, @hostname, @pool_id);

-- name: UpdateService :execrows
UPDATE services
   SET org_id = @org_id, name = @name, kind = @kind, hostname = @hostname, pool_id = @pool_id, updated_at = now()
 WHERE id = @id;

-- name: DeleteService :execrows
DELETE FROM services WHERE id = @id;

-- name: GetService :one
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at FROM services WHERE id = @id;

-- name: GetServices :many
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at FROM services WHERE id = ANY(@ids::uuid[]);

-- name: AllServices :many
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at FROM services;

-- name: GetServiceByName :one
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at FROM services WHERE org_id = @org_id AND name = @name;

-- name: ListServices :many
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at FROM services WHERE org_id = @org_id AND name > @after ORDER BY name LIMIT @most;

-- name: GetServiceByHostname :one
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at FROM services WHERE hostname = @hostname;

-- name: ListServicesWithin :many
-- Services whose hostname is the apex or below it.
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at FROM services WHERE right('.' || hostname, length(@apex::text) + 1) = '.' || @apex::text ORDER BY hostname;
