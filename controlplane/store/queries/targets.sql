-- name: InsertTarget :exec
INSERT INTO targets (id, org_id, service_id, site_id, name, address, port, path_prefix, weight, health_check, scheme, server_name, authorities_pem, strip_prefix)
VALUES (@id, @org_id, @service_id, @site_id, @name, @address, @port, @path_prefix, @weight, @health_check, @scheme, @server_name, @authorities_pem, @strip_prefix);

-- name: UpdateTarget :execrows
UPDATE targets
   SET org_id = @org_id, service_id = @service_id, site_id = @site_id, name = @name, address = @address, port = @port, path_prefix = @path_prefix, weight = @weight, health_check = @health_check,
       scheme = @scheme, server_name = @server_name, authorities_pem = @authorities_pem, strip_prefix = @strip_prefix, updated_at = now()
 WHERE id = @id;

-- name: DeleteTarget :execrows
DELETE FROM targets WHERE id = @id;

-- name: GetTarget :one
SELECT id, org_id, service_id, site_id, name, address, port, path_prefix, weight, created_at, updated_at, health_check, scheme, server_name, authorities_pem, strip_prefix FROM targets WHERE id = @id;

-- name: GetTargets :many
SELECT id, org_id, service_id, site_id, name, address, port, path_prefix, weight, created_at, updated_at, health_check, scheme, server_name, authorities_pem, strip_prefix FROM targets WHERE id = ANY(@ids::uuid[]);

-- name: AllTargets :many
SELECT id, org_id, service_id, site_id, name, address, port, path_prefix, weight, created_at, updated_at, health_check, scheme, server_name, authorities_pem, strip_prefix FROM targets;

-- name: GetTargetByName :one
SELECT id, org_id, service_id, site_id, name, address, port, path_prefix, weight, created_at, updated_at, health_check, scheme, server_name, authorities_pem, strip_prefix FROM targets WHERE org_id = @org_id AND name = @name;

-- name: ListTargets :many
SELECT id, org_id, service_id, site_id, name, address, port, path_prefix, weight, created_at, updated_at, health_check, scheme, server_name, authorities_pem, strip_prefix FROM targets WHERE org_id = @org_id AND name > @after ORDER BY name LIMIT @most;

-- name: ListTargetsOfService :many
SELECT id, org_id, service_id, site_id, name, address, port, path_prefix, weight, created_at, updated_at, health_check, scheme, server_name, authorities_pem, strip_prefix FROM targets WHERE service_id = @service_id ORDER BY name;
