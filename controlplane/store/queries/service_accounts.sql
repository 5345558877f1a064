-- name: InsertServiceAccount :exec
INSERT INTO service_accounts (id, org_id, name, disabled_at) VALUES (@id, @org_id, @name, @disabled_at);

-- name: UpdateServiceAccount :execrows
UPDATE service_accounts SET name = @name, disabled_at = @disabled_at, updated_at = now() WHERE id = @id;

-- name: DeleteServiceAccount :execrows
DELETE FROM service_accounts WHERE id = @id;

-- name: GetServiceAccount :one
SELECT a.id, a.org_id, a.name, a.disabled_at, a.created_at, a.updated_at,
       array(SELECT r.role_id FROM service_account_roles r WHERE r.service_account_id = a.id ORDER BY r.role_id)::uuid[] AS role_ids
  FROM service_accounts a WHERE a.id = @id;

-- name: GetServiceAccountByName :one
SELECT a.id, a.org_id, a.name, a.disabled_at, a.created_at, a.updated_at,
       array(SELECT r.role_id FROM service_account_roles r WHERE r.service_account_id = a.id ORDER BY r.role_id)::uuid[] AS role_ids
  FROM service_accounts a WHERE a.org_id = @org_id AND a.name = @name;

-- name: ListServiceAccounts :many
SELECT a.id, a.org_id, a.name, a.disabled_at, a.created_at, a.updated_at,
       array(SELECT r.role_id FROM service_account_roles r WHERE r.service_account_id = a.id ORDER BY r.role_id)::uuid[] AS role_ids
  FROM service_accounts a WHERE a.org_id = @org_id AND a.name > @after ORDER BY a.name LIMIT @most;

-- name: LockServiceAccount :exec
SELECT FROM service_accounts WHERE id = @id FOR UPDATE;

-- name: DeleteServiceAccountRoles :exec
DELETE FROM service_account_roles WHERE service_account_id = @service_account_id;

-- name: InsertServiceAccountRoles :exec
INSERT INTO service_account_roles (org_id, service_account_id, role_id) SELECT @org_id, @service_account_id, unnest(@role_ids::uuid[]);

-- name: GrantsOfServiceAccount :many
SELECT x.org_id, r.id, r.permissions FROM service_account_roles x JOIN roles r ON r.id = x.role_id WHERE x.service_account_id = @service_account_id;
