-- name: InsertSite :exec
INSERT INTO sites (id, org_id, name, pool_id, tunnels)
VALUES (@id, @org_id, @name, @pool_id, @tunnels);

-- name: UpdateSite :execrows
UPDATE sites
   SET org_id = @org_id, name = @name, pool_id = @pool_id, tunnels = @tunnels, updated_at = now()
 WHERE id = @id;

-- name: DeleteSite :execrows
DELETE FROM sites WHERE id = @id;

-- name: GetSite :one
SELECT id, org_id, name, pool_id, tunnels, created_at, updated_at FROM sites WHERE id = @id;

-- name: GetSites :many
SELECT id, org_id, name, pool_id, tunnels, created_at, updated_at FROM sites WHERE id = ANY(@ids::uuid[]);

-- name: AllSites :many
SELECT id, org_id, name, pool_id, tunnels, created_at, updated_at FROM sites;

-- name: GetSiteByName :one
SELECT id, org_id, name, pool_id, tunnels, created_at, updated_at FROM sites WHERE org_id = @org_id AND name = @name;

-- name: ListSites :many
SELECT id, org_id, name, pool_id, tunnels, created_at, updated_at FROM sites WHERE org_id = @org_id AND name > @after ORDER BY name LIMIT @most;
