-- name: InsertAlertRule :exec
INSERT INTO alert_rules (id, org_id, name, kind, object, hold_ms, percent, span_ms, mail, enabled, silenced_until)
VALUES (@id, @org_id, @name, @kind, @object, @hold_ms, @percent, @span_ms, @mail, @enabled, sqlc.narg(silenced_until));

-- name: UpdateAlertRule :execrows
UPDATE alert_rules SET name = @name, kind = @kind, object = @object, hold_ms = @hold_ms, percent = @percent, span_ms = @span_ms, mail = @mail,
       enabled = @enabled, silenced_until = sqlc.narg(silenced_until), updated_at = now() WHERE id = @id;

-- name: DeleteAlertRule :execrows
DELETE FROM alert_rules WHERE id = @id;

-- name: GetAlertRule :one
SELECT id, org_id, name, kind, object, hold_ms, percent, span_ms, mail, enabled, silenced_until, created_at, updated_at FROM alert_rules WHERE id = @id;

-- name: GetAlertRuleByName :one
SELECT id, org_id, name, kind, object, hold_ms, percent, span_ms, mail, enabled, silenced_until, created_at, updated_at FROM alert_rules
 WHERE org_id IS NOT DISTINCT FROM sqlc.narg(org_id) AND name = @name;

-- name: ListAlertRules :many
SELECT id, org_id, name, kind, object, hold_ms, percent, span_ms, mail, enabled, silenced_until, created_at, updated_at FROM alert_rules
 WHERE org_id IS NOT DISTINCT FROM sqlc.narg(org_id) AND name > @after::text ORDER BY name LIMIT @most;

-- name: CountAlertRules :one
SELECT count(*) FROM alert_rules WHERE org_id IS NOT DISTINCT FROM sqlc.narg(org_id);

-- name: EnabledAlertRules :many
SELECT id, org_id, name, kind, object, hold_ms, percent, span_ms, mail, enabled, silenced_until, created_at, updated_at FROM alert_rules WHERE enabled ORDER BY id;

-- name: ClaimAlertRound :execrows
UPDATE alert_rounds SET next_at = @next WHERE next_at <= @now;

-- name: AllAlerts :many
SELECT rule_id, object, org_id, name, since, fired_at, clear_since, told, reason, acked_at, acked_by FROM alerts ORDER BY rule_id, object;

-- name: ListAlerts :many
SELECT rule_id, object, org_id, name, since, fired_at, clear_since, told, reason, acked_at, acked_by FROM alerts
 WHERE org_id IS NOT DISTINCT FROM sqlc.narg(org_id) ORDER BY since, rule_id, object LIMIT @most;

-- name: ListAlertsOf :many
SELECT rule_id, object, org_id, name, since, fired_at, clear_since, told, reason, acked_at, acked_by FROM alerts WHERE rule_id = @rule_id ORDER BY since, object;

-- name: PutAlert :exec
INSERT INTO alerts (rule_id, object, org_id, name, since, fired_at, clear_since, told, reason)
VALUES (@rule_id, @object, sqlc.narg(org_id), @name, @since, sqlc.narg(fired_at), sqlc.narg(clear_since), @told, @reason)
ON CONFLICT (rule_id, object) DO UPDATE SET name = excluded.name, since = excluded.since, fired_at = excluded.fired_at, clear_since = excluded.clear_since,
       told = excluded.told, reason = excluded.reason;

-- name: AcknowledgeAlert :execrows
UPDATE alerts SET acked_at = sqlc.narg(acked_at), acked_by = @acked_by WHERE rule_id = @rule_id AND object = @object;

-- name: DeleteAlert :exec
DELETE FROM alerts WHERE rule_id = @rule_id AND object = @object;

-- name: ForgetAlertsOf :exec
DELETE FROM alerts WHERE rule_id = @rule_id;

-- name: AddAlertMail :exec
INSERT INTO alert_mails (event_id, address, rule_id, org_id, at) VALUES (@event_id, @address, @rule_id, sqlc.narg(org_id), @at) ON CONFLICT DO NOTHING;

-- name: GetAlertMail :one
SELECT m.event_id, m.address, m.rule_id, m.org_id, m.attempt, m.at, m.sent, m.problem, e.type
  FROM alert_mails m JOIN events e ON e.id = m.event_id WHERE m.event_id = @event_id AND m.address = @address;

-- name: NoteAlertMail :exec
UPDATE alert_mails SET attempt = @attempt, at = @at, sent = @sent, problem = @problem WHERE event_id = @event_id AND address = @address;

-- name: ListAlertMails :many
SELECT m.event_id, m.address, m.rule_id, m.org_id, m.attempt, m.at, m.sent, m.problem, e.type
  FROM alert_mails m JOIN events e ON e.id = m.event_id WHERE m.rule_id = @rule_id ORDER BY m.at DESC, m.address LIMIT @most;
