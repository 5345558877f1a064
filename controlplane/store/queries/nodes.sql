-- name: InsertNode :exec
INSERT INTO nodes (id, name, pool_id, region_id, addresses, wireguard_public_key, wireguard_endpoint, stream_endpoint, gossip_endpoint, pinned, capacity, lifecycle, revoked_at)
VALUES (@id, @name, @pool_id, @region_id, @addresses, @wireguard_public_key, @wireguard_endpoint, @stream_endpoint, @gossip_endpoint, @pinned, @capacity, @lifecycle, @revoked_at);

-- name: UpdateNode :execrows
UPDATE nodes
   SET name = @name, pool_id = @pool_id, region_id = @region_id, addresses = @addresses, wireguard_public_key = @wireguard_public_key, wireguard_endpoint = @wireguard_endpoint, stream_endpoint = @stream_endpoint, gossip_endpoint = @gossip_endpoint, pinned = @pinned, capacity = @capacity, lifecycle = @lifecycle, revoked_at = @revoked_at, updated_at = now()
 WHERE id = @id;

-- name: DeleteNode :execrows
DELETE FROM nodes WHERE id = @id;

-- name: GetNode :one
SELECT id, name, pool_id, region_id, addresses, wireguard_public_key, wireguard_endpoint, lifecycle, revoked_at, created_at, updated_at, capacity, stream_endpoint, gossip_endpoint, pinned FROM nodes WHERE id = @id;

-- name: GetNodes :many
SELECT id, name, pool_id, region_id, addresses, wireguard_public_key, wireguard_endpoint, lifecycle, revoked_at, created_at, updated_at, capacity, stream_endpoint, gossip_endpoint, pinned FROM nodes WHERE id = ANY(@ids::uuid[]);

-- name: AllNodes :many
SELECT id, name, pool_id, region_id, addresses, wireguard_public_key, wireguard_endpoint, lifecycle, revoked_at, created_at, updated_at, capacity, stream_endpoint, gossip_endpoint, pinned FROM nodes;

-- name: GetNodeByName :one
SELECT id, name, pool_id, region_id, addresses, wireguard_public_key, wireguard_endpoint, lifecycle, revoked_at, created_at, updated_at, capacity, stream_endpoint, gossip_endpoint, pinned FROM nodes WHERE name = @name;

-- name: ListNodes :many
SELECT id, name, pool_id, region_id, addresses, wireguard_public_key, wireguard_endpoint, lifecycle, revoked_at, created_at, updated_at, capacity, stream_endpoint, gossip_endpoint, pinned FROM nodes WHERE name > @after ORDER BY name LIMIT @most;

-- name: ListNodesOfPool :many
SELECT id, name, pool_id, region_id, addresses, wireguard_public_key, wireguard_endpoint, lifecycle, revoked_at, created_at, updated_at, capacity, stream_endpoint, gossip_endpoint, pinned FROM nodes WHERE pool_id = @pool_id ORDER BY name;

-- name: ShareNode :exec
SELECT FROM nodes WHERE id = @id FOR KEY SHARE;

-- name: LockNode :exec
SELECT FROM nodes WHERE id = @id FOR UPDATE;
