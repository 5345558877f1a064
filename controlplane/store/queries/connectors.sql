-- name: InsertConnector :exec
INSERT INTO connectors (id, org_id, site_id, name, wireguard_public_key, revoked_at)
VALUES (@id, @org_id, @site_id, @name, @wireguard_public_key, @revoked_at);

-- name: UpdateConnector :execrows
UPDATE connectors
   SET org_id = @org_id, site_id = @site_id, name = @name, wireguard_public_key = @wireguard_public_key, revoked_at = @revoked_at, updated_at = now()
 WHERE id = @id;

-- name: DeleteConnector :execrows
DELETE FROM connectors WHERE id = @id;

-- name: GetConnector :one
SELECT id, org_id, site_id, name, wireguard_public_key, revoked_at, created_at, updated_at FROM connectors WHERE id = @id;

-- name: GetConnectors :many
SELECT id, org_id, site_id, name, wireguard_public_key, revoked_at, created_at, updated_at FROM connectors WHERE id = ANY(@ids::uuid[]);

-- name: AllConnectors :many
SELECT id, org_id, site_id, name, wireguard_public_key, revoked_at, created_at, updated_at FROM connectors;

-- name: GetConnectorByName :one
SELECT id, org_id, site_id, name, wireguard_public_key, revoked_at, created_at, updated_at FROM connectors WHERE org_id = @org_id AND name = @name;

-- name: ListConnectors :many
SELECT id, org_id, site_id, name, wireguard_public_key, revoked_at, created_at, updated_at FROM connectors WHERE org_id = @org_id AND name > @after ORDER BY name LIMIT @most;

-- name: ListConnectorsOfSite :many
SELECT id, org_id, site_id, name, wireguard_public_key, revoked_at, created_at, updated_at FROM connectors WHERE site_id = @site_id ORDER BY name;
