-- name: InsertDomain :exec
INSERT INTO domains (id, org_id, name, pool_id, unproven, caa_account)
VALUES (@id, @org_id, @name, @pool_id, @unproven, @caa_account);

-- name: UpdateDomain :execrows
UPDATE domains
   SET org_id = @org_id, name = @name, pool_id = @pool_id, unproven = @unproven, caa_account = @caa_account, updated_at = now()
 WHERE id = @id;

-- name: ProveDomain :execrows
UPDATE domains SET unproven = false, updated_at = now() WHERE id = @id AND unproven;

-- name: DeleteDomain :execrows
DELETE FROM domains WHERE id = @id;

-- name: GetDomain :one
SELECT id, org_id, name, pool_id, created_at, updated_at, unproven, caa_account FROM domains WHERE id = @id;

-- name: GetDomains :many
SELECT id, org_id, name, pool_id, created_at, updated_at, unproven, caa_account FROM domains WHERE id = ANY(@ids::uuid[]);

-- name: AllDomains :many
SELECT id, org_id, name, pool_id, created_at, updated_at, unproven, caa_account FROM domains;

-- name: GetDomainByName :one
SELECT id, org_id, name, pool_id, created_at, updated_at, unproven, caa_account FROM domains WHERE org_id = @org_id AND name = @name;

-- name: ListDomains :many
SELECT id, org_id, name, pool_id, created_at, updated_at, unproven, caa_account FROM domains WHERE org_id = @org_id AND name > @after ORDER BY name LIMIT @most;

-- name: ListDomainsCovering :many
-- Domains that a hostname is within, the closest first.
SELECT id, org_id, name, pool_id, created_at, updated_at, unproven, caa_account FROM domains WHERE right('.' || @hostname::text, length(name) + 1) = '.' || name ORDER BY length(name) DESC;

-- name: ListDomainsOverlapping :many
-- Domains that are the apex, above it or below it.
SELECT id, org_id, name, pool_id, created_at, updated_at, unproven, caa_account FROM domains
 WHERE right('.' || @apex::text, length(name) + 1) = '.' || name OR right('.' || name, length(@apex::text) + 1) = '.' || @apex::text
 ORDER BY name;

-- name: ShareDomain :exec
-- Keeps a domain as it is until the end of the transaction; others may do the same.
SELECT FROM domains WHERE id = @id FOR SHARE;

-- name: LockDomain :exec
-- Keeps others from relying on a domain until the end of the transaction.
SELECT FROM domains WHERE id = @id FOR UPDATE;

-- name: NamesOutsideDomains :many
-- Of some names those that stand in no domain that is proved to be the organization's.
SELECT n::text FROM unnest(@names::text[]) AS n
 WHERE NOT EXISTS (SELECT FROM domains d WHERE d.org_id = @org_id AND NOT d.unproven AND right('.' || n, length(d.name) + 1) = '.' || d.name);
