-- name: InsertVisitor :exec
INSERT INTO visitors (id, org_id, service_id, mail, address, expires_at) VALUES (@id, @org_id, @service_id, @mail, @address, @expires_at);

-- name: GetVisitor :one
SELECT id, org_id, service_id, mail, address, expires_at, created_at FROM visitors WHERE id = @id;

-- name: ShareVisitor :one
-- Nobody ends it until the transaction does.
SELECT id, org_id, service_id, mail, address, expires_at, created_at FROM visitors WHERE id = @id FOR SHARE;

-- name: ListVisitors :many
SELECT id, org_id, service_id, mail, address, expires_at, created_at FROM visitors
 WHERE org_id = @org_id AND id > @after AND expires_at > @now ORDER BY id LIMIT @most;

-- name: DeleteVisitor :execrows
DELETE FROM visitors WHERE id = @id;

-- name: PruneVisitors :execrows
DELETE FROM visitors WHERE expires_at <= @now;
