-- name: LabelsOf :many
SELECT object_id, labels, managed_by FROM object_labels
 WHERE kind = @kind AND object_id = ANY(@ids::uuid[]) AND org_id IS NOT DISTINCT FROM sqlc.narg('org_id')::uuid;

-- name: PutLabels :exec
INSERT INTO object_labels (kind, object_id, org_id, labels, managed_by)
VALUES (@kind, @object_id, sqlc.narg('org_id')::uuid, @labels, @managed_by)
ON CONFLICT (kind, object_id, org_id) DO UPDATE SET labels = excluded.labels, managed_by = excluded.managed_by, updated_at = now();

-- name: LabelledWith :many
SELECT object_id FROM object_labels
 WHERE kind = @kind AND labels @> @labels::jsonb AND org_id IS NOT DISTINCT FROM sqlc.narg('org_id')::uuid;

-- name: ManagedBySet :many
SELECT object_id FROM object_labels
 WHERE kind = @kind AND managed_by = @managed_by AND org_id IS NOT DISTINCT FROM sqlc.narg('org_id')::uuid
 ORDER BY object_id;

-- name: LockObject :exec
SELECT pg_advisory_xact_lock(hashtextextended(@object::text, 7310023));
