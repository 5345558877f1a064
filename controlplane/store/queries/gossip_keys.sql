-- name: InsertGossipKey :exec
INSERT INTO gossip_keys (id, state, sealed_key) VALUES (@id, @state, @sealed_key);

-- name: UpdateGossipKey :execrows
UPDATE gossip_keys SET state = @state, sealed_key = @sealed_key, updated_at = now() WHERE id = @id;

-- name: DeleteGossipKey :execrows
DELETE FROM gossip_keys WHERE id = @id;

-- name: GetGossipKeys :many
SELECT id, state, sealed_key, created_at, updated_at FROM gossip_keys WHERE id = ANY(@ids::uuid[]);

-- name: AllGossipKeys :many
SELECT id, state, sealed_key, created_at, updated_at FROM gossip_keys ORDER BY id;

-- name: LockGossipKeys :exec
-- Whoever changes the keys is alone until its transaction ends.
SELECT pg_advisory_xact_lock(7310007);
