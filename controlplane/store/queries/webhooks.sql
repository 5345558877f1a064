-- name: InsertWebhook :exec
INSERT INTO webhooks (id, org_id, name, url, events, sealed_secret, enabled)
VALUES (@id, @org_id, @name, @url, @events, @sealed_secret, @enabled);

-- name: UpdateWebhook :execrows
UPDATE webhooks SET name = @name, url = @url, events = @events, sealed_secret = @sealed_secret, enabled = @enabled, updated_at = now() WHERE id = @id;

-- name: DisableWebhook :execrows
UPDATE webhooks SET enabled = false, updated_at = now() WHERE id = @id;

-- name: DeleteWebhook :execrows
DELETE FROM webhooks WHERE id = @id;

-- name: GetWebhook :one
SELECT id, org_id, name, url, events, sealed_secret, enabled, created_at, updated_at FROM webhooks WHERE id = @id;

-- name: GetWebhookByName :one
SELECT id, org_id, name, url, events, sealed_secret, enabled, created_at, updated_at FROM webhooks
 WHERE org_id IS NOT DISTINCT FROM sqlc.narg(org_id) AND name = @name;

-- name: ListWebhooks :many
SELECT id, org_id, name, url, events, sealed_secret, enabled, created_at, updated_at FROM webhooks
 WHERE org_id IS NOT DISTINCT FROM sqlc.narg(org_id) AND name > @after::text ORDER BY name LIMIT @most;

-- name: CountWebhooks :one
SELECT count(*) FROM webhooks WHERE org_id IS NOT DISTINCT FROM sqlc.narg(org_id);

-- name: InsertEvent :execrows
INSERT INTO events (id, type, org_id, object, once, data, at)
VALUES (@id, @type, @org_id, @object, @once, @data, @at) ON CONFLICT (type, once) DO NOTHING;

-- name: GetEvent :one
SELECT id, type, org_id, object, once, data, at FROM events WHERE id = @id;

-- name: ListEvents :many
SELECT id, type, org_id, object, once, data, at FROM events WHERE type = @type ORDER BY at, id;

-- name: PruneEvents :execrows
DELETE FROM events WHERE at < @before;

-- name: AddDeliveries :many
-- To whom an event goes: all who want to hear of it and do not wait for too many already.
INSERT INTO webhook_deliveries (webhook_id, event_id)
SELECT w.id, @event_id FROM webhooks w
 WHERE w.enabled AND (w.org_id IS NULL OR w.org_id = sqlc.narg(org_id)) AND (w.events = '{}' OR @type::text = ANY (w.events))
   AND (SELECT count(*) FROM webhook_deliveries d WHERE d.webhook_id = w.id) < @undelivered::bigint
RETURNING webhook_id;

-- name: AddDelivery :exec
INSERT INTO webhook_deliveries (webhook_id, event_id) VALUES (@webhook_id, @event_id) ON CONFLICT DO NOTHING;

-- name: HasDelivery :one
SELECT EXISTS (SELECT FROM webhook_deliveries WHERE webhook_id = @webhook_id AND event_id = @event_id);

-- name: DeleteDelivery :execrows
DELETE FROM webhook_deliveries WHERE webhook_id = @webhook_id AND event_id = @event_id;

-- name: DeleteDeliveries :execrows
DELETE FROM webhook_deliveries WHERE webhook_id = @webhook_id;

-- name: AddAttempt :exec
INSERT INTO webhook_attempts (webhook_id, event_id, number, at, took_ms, status, problem, answer)
VALUES (@webhook_id, @event_id, @number, @at, @took_ms, @status, @problem, @answer);

-- name: PruneAttempts :execrows
DELETE FROM webhook_attempts a
 WHERE a.webhook_id = @webhook_id AND a.id <= (SELECT b.id FROM webhook_attempts b WHERE b.webhook_id = @webhook_id ORDER BY b.id DESC OFFSET @keep LIMIT 1);

-- name: ListAttempts :many
SELECT a.webhook_id, a.event_id, e.type, a.number, a.at, a.took_ms, a.status, a.problem, a.answer
  FROM webhook_attempts a JOIN events e ON e.id = a.event_id
 WHERE a.webhook_id = @webhook_id ORDER BY a.id DESC LIMIT @most;

-- name: ListOrganizationEvents :many
-- The newest first. A receiver that is tested is nobody else's business.
SELECT id, type, org_id, object, once, data, at FROM events
 WHERE org_id = @org_id AND type <> 'webhook.test' AND (@types::text[] = '{}' OR type = ANY (@types::text[]))
   AND (at, id) < (@before_at::timestamptz, @before_id::uuid) AND (at, id) > (@after_at::timestamptz, @after_id::uuid)
 ORDER BY at DESC, id DESC LIMIT @most;
