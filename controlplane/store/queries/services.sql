-- name: InsertService :exec
INSERT INTO services (id, org_id, name, kind, hostname, pool_id, first_port, last_port, allow, proxy_protocol, terminate, policy_id, delivery, maintenance)
VALUES (@id, @org_id, @name, @kind, @hostname, @pool_id, @first_port, @last_port, @allow, @proxy_protocol, @terminate, @policy_id, @delivery, @maintenance);

-- name: UpdateService :execrows
UPDATE services
   SET org_id = @org_id, name = @name, kind = @kind, hostname = @hostname, pool_id = @pool_id,
       first_port = @first_port, last_port = @last_port, allow = @allow, proxy_protocol = @proxy_protocol, terminate = @terminate, policy_id = @policy_id, delivery = @delivery, maintenance = @maintenance, updated_at = now()
 WHERE id = @id;

-- name: DeleteService :execrows
DELETE FROM services WHERE id = @id;

-- name: GetService :one
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at, first_port, last_port, allow, proxy_protocol, terminate, policy_id, delivery, maintenance FROM services WHERE id = @id;

-- name: GetServices :many
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at, first_port, last_port, allow, proxy_protocol, terminate, policy_id, delivery, maintenance FROM services WHERE id = ANY(@ids::uuid[]);

-- name: AllServices :many
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at, first_port, last_port, allow, proxy_protocol, terminate, policy_id, delivery, maintenance FROM services;

-- name: GetServiceByName :one
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at, first_port, last_port, allow, proxy_protocol, terminate, policy_id, delivery, maintenance FROM services WHERE org_id = @org_id AND name = @name;

-- name: ListServices :many
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at, first_port, last_port, allow, proxy_protocol, terminate, policy_id, delivery, maintenance FROM services WHERE org_id = @org_id AND name > @after ORDER BY name LIMIT @most;

-- name: GetServiceByHostname :one
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at, first_port, last_port, allow, proxy_protocol, terminate, policy_id, delivery, maintenance FROM services WHERE hostname = @hostname AND hostname <> '';

-- name: ListServicesWithin :many
-- Services whose hostname is the apex or below it.
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at, first_port, last_port, allow, proxy_protocol, terminate, policy_id, delivery, maintenance FROM services WHERE right('.' || hostname, length(@apex::text) + 1) = '.' || @apex::text ORDER BY hostname;

-- name: ListServicesAtPorts :many
-- Services of a pool and protocol that have one of the ports; no service has more than a thousand.
SELECT id, org_id, name, kind, hostname, pool_id, created_at, updated_at, first_port, last_port, allow, proxy_protocol, terminate, policy_id, delivery, maintenance FROM services
 WHERE pool_id = @pool_id AND kind = @kind AND first_port BETWEEN @first_port::integer - 999 AND @last_port::integer AND last_port >= @first_port::integer
 ORDER BY first_port;
