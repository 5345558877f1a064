-- name: InsertOrganization :exec
INSERT INTO organizations (id, name, trusted, requests_per_second)
VALUES (@id, @name, @trusted, @requests_per_second);

-- name: UpdateOrganization :execrows
UPDATE organizations
   SET name = @name, trusted = @trusted, requests_per_second = @requests_per_second, updated_at = now()
 WHERE id = @id;

-- name: BrandOrganization :execrows
UPDATE organizations
   SET brand_name = @name, brand_accent = @accent, brand_logo = @logo, updated_at = now()
 WHERE id = @id;

-- name: DeleteOrganization :execrows
DELETE FROM organizations WHERE id = @id;

-- name: GetOrganization :one
SELECT id, name, created_at, updated_at, trusted, brand_name, brand_accent, brand_logo, requests_per_second FROM organizations WHERE id = @id;

-- name: GetOrganizations :many
SELECT id, name, created_at, updated_at, trusted, brand_name, brand_accent, brand_logo, requests_per_second FROM organizations WHERE id = ANY(@ids::uuid[]);

-- name: AllOrganizations :many
SELECT id, name, created_at, updated_at, trusted, brand_name, brand_accent, brand_logo, requests_per_second FROM organizations;

-- name: GetOrganizationByName :one
SELECT id, name, created_at, updated_at, trusted, brand_name, brand_accent, brand_logo, requests_per_second FROM organizations WHERE name = @name;

-- name: ListOrganizations :many
SELECT id, name, created_at, updated_at, trusted, brand_name, brand_accent, brand_logo, requests_per_second FROM organizations WHERE name > @after ORDER BY name LIMIT @most;

-- name: LockOrganization :exec
SELECT FROM organizations WHERE id = @id FOR NO KEY UPDATE;

-- name: ShareOrganization :exec
SELECT FROM organizations WHERE id = @id FOR SHARE;
