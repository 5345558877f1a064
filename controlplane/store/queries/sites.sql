-- name: InsertSite :exec
INSERT INTO sites (id, org_id, name, pool_id, tunnels, kind, carrier, region_id, node_ids, wireguard_public_key, publish)
VALUES (@id, @org_id, @name, @pool_id, @tunnels, @kind, @carrier, @region_id, @node_ids, @wireguard_public_key, @publish);

-- name: UpdateSite :execrows
UPDATE sites
   SET org_id = @org_id, name = @name, pool_id = @pool_id, tunnels = @tunnels, kind = @kind, carrier = @carrier, region_id = @region_id, node_ids = @node_ids,
       wireguard_public_key = @wireguard_public_key, publish = @publish, updated_at = now()
 WHERE id = @id;

-- name: DeleteSite :execrows
DELETE FROM sites WHERE id = @id;

-- name: GetSite :one
SELECT id, org_id, name, pool_id, tunnels, created_at, updated_at, kind, carrier, region_id, node_ids, wireguard_public_key, publish FROM sites WHERE id = @id;

-- name: GetSites :many
SELECT id, org_id, name, pool_id, tunnels, created_at, updated_at, kind, carrier, region_id, node_ids, wireguard_public_key, publish FROM sites WHERE id = ANY(@ids::uuid[]);

-- name: AllSites :many
SELECT id, org_id, name, pool_id, tunnels, created_at, updated_at, kind, carrier, region_id, node_ids, wireguard_public_key, publish FROM sites;

-- name: GetSiteByName :one
SELECT id, org_id, name, pool_id, tunnels, created_at, updated_at, kind, carrier, region_id, node_ids, wireguard_public_key, publish FROM sites WHERE org_id = @org_id AND name = @name;

-- name: ListSites :many
SELECT id, org_id, name, pool_id, tunnels, created_at, updated_at, kind, carrier, region_id, node_ids, wireguard_public_key, publish FROM sites WHERE org_id = @org_id AND name > @after ORDER BY name LIMIT @most;

-- name: ListSitesOfNode :many
-- The local sites, of all organizations, that stand in a node's network.
SELECT id, org_id, name, pool_id, tunnels, created_at, updated_at, kind, carrier, region_id, node_ids, wireguard_public_key, publish FROM sites WHERE node_ids @> ARRAY[@node_id::uuid] ORDER BY org_id, name;

-- name: LockSite :exec
SELECT FROM sites WHERE id = @id FOR UPDATE;

-- name: ShareSite :exec
SELECT FROM sites WHERE id = @id FOR SHARE;
