-- name: GetManifestSet :one
SELECT org_id, name, applied_at, applied_by, created, changed, removed, objects FROM manifest_sets WHERE org_id = @org_id AND name = @name;

-- name: ListManifestSets :many
SELECT org_id, name, applied_at, applied_by, created, changed, removed, objects FROM manifest_sets WHERE org_id = @org_id AND name > @after::text ORDER BY name LIMIT @most;

-- name: PutManifestSet :exec
INSERT INTO manifest_sets (org_id, name, applied_at, applied_by, created, changed, removed, objects)
VALUES (@org_id, @name, @applied_at, @applied_by, @created, @changed, @removed, @objects)
ON CONFLICT (org_id, name) DO UPDATE SET applied_at = excluded.applied_at, applied_by = excluded.applied_by, created = excluded.created,
    changed = excluded.changed, removed = excluded.removed, objects = excluded.objects;

-- name: DeleteManifestSet :exec
DELETE FROM manifest_sets WHERE org_id = @org_id AND name = @name;
