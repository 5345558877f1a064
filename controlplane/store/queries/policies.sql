-- name: InsertPolicy :exec
INSERT INTO policies (id, org_id, name, document) VALUES (@id, @org_id, @name, @document);

-- name: UpdatePolicy :execrows
UPDATE policies SET name = @name, document = @document, updated_at = now() WHERE id = @id;

-- name: DeletePolicy :execrows
DELETE FROM policies WHERE id = @id;

-- name: LockPolicy :exec
SELECT 1 FROM policies WHERE id = @id FOR UPDATE;

-- name: GetPolicies :many
SELECT id, org_id, name, document, created_at, updated_at FROM policies WHERE id = ANY(@ids::uuid[]);

-- name: AllPolicies :many
SELECT id, org_id, name, document, created_at, updated_at FROM policies;

-- name: GetPolicyByName :one
SELECT id, org_id, name, document, created_at, updated_at FROM policies WHERE org_id = @org_id AND name = @name;

-- name: ListPolicies :many
SELECT id, org_id, name, document, created_at, updated_at FROM policies WHERE org_id = @org_id AND name > @after ORDER BY name LIMIT @most;

-- name: ListServicesOfPolicy :many
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at, first_port, last_port, allow, proxy_protocol, terminate, policy_id, delivery, maintenance FROM services WHERE policy_id = @policy_id::uuid ORDER BY name;

-- name: InsertShareLink :exec
INSERT INTO share_links (id, policy_id, title, secret_sha256, expires_at, max_uses) VALUES (@id, @policy_id, @title, @secret_sha256, @expires_at, @max_uses);

-- name: DeleteShareLink :execrows
DELETE FROM share_links WHERE id = @id AND policy_id = @policy_id;

-- name: ShareLinksOf :many
SELECT id, policy_id, title, secret_sha256, expires_at, max_uses, created_at, updated_at FROM share_links WHERE policy_id = ANY(@policies::uuid[]) ORDER BY id;

-- name: AllShareLinks :many
SELECT id, policy_id, title, secret_sha256, expires_at, max_uses, created_at, updated_at FROM share_links ORDER BY id;

-- name: ShareLinkUses :many
SELECT u.share_link_id, u.uses FROM share_link_uses u JOIN share_links l ON l.id = u.share_link_id WHERE l.policy_id = @policy_id;

-- name: UseShareLink :execrows
-- Counts a use of a link that a pool's services know, unless its limit is reached or it is over.
INSERT INTO share_link_uses AS u (share_link_id, uses)
SELECT l.id, 1 FROM share_links l
 WHERE l.id = @id AND l.max_uses > 0 AND (l.expires_at IS NULL OR l.expires_at > now())
   AND EXISTS (SELECT FROM services s WHERE s.policy_id = l.policy_id AND s.pool_id = @pool_id)
ON CONFLICT (share_link_id) DO UPDATE SET uses = u.uses + 1
 WHERE u.uses < (SELECT l.max_uses FROM share_links l WHERE l.id = u.share_link_id);

-- name: InsertServiceToken :exec
INSERT INTO service_tokens (id, policy_id, name, secret_sha256, expires_at) VALUES (@id, @policy_id, @name, @secret_sha256, @expires_at);

-- name: DeleteServiceToken :execrows
DELETE FROM service_tokens WHERE id = @id AND policy_id = @policy_id;

-- name: ServiceTokensOf :many
SELECT id, policy_id, name, secret_sha256, expires_at, created_at, updated_at FROM service_tokens WHERE policy_id = ANY(@policies::uuid[]) ORDER BY id;

-- name: AllServiceTokens :many
SELECT id, policy_id, name, secret_sha256, expires_at, created_at, updated_at FROM service_tokens ORDER BY id;
