-- name: InsertRole :exec
INSERT INTO roles (id, org_id, name, scope, permissions) VALUES (@id, @org_id, @name, @scope, @permissions);

-- name: UpdateRole :execrows
UPDATE roles SET name = @name, permissions = @permissions, updated_at = now() WHERE id = @id AND NOT builtin;

-- name: DeleteRole :execrows
DELETE FROM roles WHERE id = @id AND NOT builtin;

-- name: GetRole :one
SELECT id, org_id, name, scope, builtin, permissions, created_at, updated_at FROM roles WHERE id = @id;

-- name: GetRoles :many
SELECT id, org_id, name, scope, builtin, permissions, created_at, updated_at FROM roles WHERE id = ANY(@ids::uuid[]) ORDER BY name;

-- name: GetOrgRoleByName :one
-- One that may be given in an organization: its own, or one that is built in.
SELECT id, org_id, name, scope, builtin, permissions, created_at, updated_at FROM roles
 WHERE name = @name AND scope = 'organization' AND (org_id = @org_id::uuid OR org_id IS NULL);

-- name: GetClusterRoleByName :one
SELECT id, org_id, name, scope, builtin, permissions, created_at, updated_at FROM roles WHERE name = @name AND scope = 'cluster';

-- name: ListOrgRoles :many
SELECT id, org_id, name, scope, builtin, permissions, created_at, updated_at FROM roles
 WHERE scope = 'organization' AND (org_id = @org_id::uuid OR org_id IS NULL) AND name > @after ORDER BY name LIMIT @most;

-- name: ListClusterRoles :many
SELECT id, org_id, name, scope, builtin, permissions, created_at, updated_at FROM roles WHERE scope = 'cluster' AND name > @after ORDER BY name LIMIT @most;

-- name: LockRole :exec
SELECT FROM roles WHERE id = @id FOR UPDATE;

-- name: ShareRoles :exec
SELECT FROM roles WHERE id = ANY(@ids::uuid[]) ORDER BY id FOR SHARE;
