-- name: InsertAuditEntry :exec
INSERT INTO audit_log (seq, at, actor, actor_name, credential, address, action, org_id, object, object_name, result, detail, revision, hash)
VALUES (0, now(), @actor, @actor_name, @credential, @address, @action, @org_id, @object, @object_name, @result, @detail, @revision, ''); -- the trigger says the rest

-- name: ListAuditEntries :many
SELECT seq, at, actor, actor_name, credential, address, action, org_id, object, object_name, result, detail, revision, hash FROM audit_log
 WHERE seq > @after AND (sqlc.narg('org_id')::uuid IS NULL OR org_id = sqlc.narg('org_id')::uuid) ORDER BY seq LIMIT @most;

-- name: GetAuditHead :one
SELECT seq, hash, at FROM audit_head;

-- name: InsertAuditAnchor :exec
INSERT INTO audit_anchors (seq, hash, at, signature) VALUES (@seq, @hash, @at, @signature) ON CONFLICT (seq) DO NOTHING;

-- name: ListAuditAnchors :many
SELECT seq, hash, at, signature FROM audit_anchors WHERE seq > @after ORDER BY seq LIMIT @most;

-- name: LastAuditAnchor :one
SELECT seq, at FROM audit_anchors ORDER BY seq DESC LIMIT 1;

-- name: ListRecentAuditEntries :many
SELECT seq, at, actor, actor_name, credential, address, action, org_id, object, object_name, result, detail, revision, hash FROM audit_log
 WHERE (sqlc.narg('org_id')::uuid IS NULL OR org_id = sqlc.narg('org_id')::uuid) ORDER BY seq DESC LIMIT @most;

-- name: SearchAuditEntries :many
-- The newest first, of those before a number. What is empty selects all.
SELECT seq, at, actor, actor_name, credential, address, action, org_id, object, object_name, result, detail, revision, hash FROM audit_log
 WHERE (sqlc.narg('org_id')::uuid IS NULL OR org_id = sqlc.narg('org_id')::uuid) AND seq < @before
   AND (@who::text = '' OR strpos(lower(actor_name), lower(@who)) > 0 OR actor = @who OR credential = @who)
   AND (@action::text = '' OR action = @action OR starts_with(action, @action || '.'))
   AND (@object::text = '' OR object = @object OR strpos(lower(object_name), lower(@object)) > 0)
   AND (@result::text = '' OR result = @result)
   AND (sqlc.narg('since')::timestamptz IS NULL OR at >= sqlc.narg('since')) AND (sqlc.narg('until')::timestamptz IS NULL OR at < sqlc.narg('until'))
 ORDER BY seq DESC LIMIT @most;
