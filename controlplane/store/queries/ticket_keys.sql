-- name: InsertTicketKey :exec
INSERT INTO ticket_keys (id, pool_id, state, sealed_key) VALUES (@id, @pool_id, @state, @sealed_key);

-- name: UpdateTicketKey :execrows
UPDATE ticket_keys SET state = @state, updated_at = now() WHERE id = @id;

-- name: DeleteTicketKey :execrows
DELETE FROM ticket_keys WHERE id = @id;

-- name: GetTicketKeys :many
SELECT id, pool_id, state, sealed_key, created_at, updated_at FROM ticket_keys WHERE id = ANY(@ids::uuid[]);

-- name: AllTicketKeys :many
SELECT id, pool_id, state, sealed_key, created_at, updated_at FROM ticket_keys;

-- name: ListTicketKeysOfPool :many
SELECT id, pool_id, state, sealed_key, created_at, updated_at FROM ticket_keys WHERE pool_id = @pool_id ORDER BY id;

-- name: LockTicketKeys :exec
-- Whoever changes the keys of pools is alone until its transaction ends.
SELECT pg_advisory_xact_lock(7310009);
