-- name: InsertRevocation :execrows
-- A key that turns out to be known to others makes what was asked before more urgent.
INSERT INTO revocations (certificate_id, org_id, managed_id, issuer_id, leaf, reason, not_after, next_attempt, asked_by)
VALUES (@certificate_id, @org_id, @managed_id, @issuer_id, @leaf, @reason, @not_after, @at, @asked_by)
    ON CONFLICT (certificate_id) DO UPDATE SET reason = excluded.reason, asked_by = excluded.asked_by, next_attempt = excluded.next_attempt, updated_at = now()
 WHERE revocations.revoked_at IS NULL AND excluded.reason = 1 AND revocations.reason <> 1;

-- name: GetRevocation :one
SELECT certificate_id, org_id, managed_id, issuer_id, leaf, reason, not_after, next_attempt, attempts, problem, revoked_at, created_at, updated_at, asked_by
  FROM revocations WHERE certificate_id = @certificate_id;

-- name: ListRevocationsOf :many
SELECT certificate_id, org_id, managed_id, issuer_id, leaf, reason, not_after, next_attempt, attempts, problem, revoked_at, created_at, updated_at, asked_by
  FROM revocations WHERE managed_id = @managed_id ORDER BY created_at DESC, certificate_id LIMIT @most;

-- name: ClaimRevocation :one
-- Nobody else asks for it before a moment.
UPDATE revocations SET next_attempt = @until, attempts = attempts + 1
 WHERE certificate_id = (SELECT r.certificate_id FROM revocations r
                          WHERE r.revoked_at IS NULL AND r.next_attempt <= @now ORDER BY r.next_attempt, r.certificate_id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING certificate_id, org_id, managed_id, issuer_id, leaf, reason, not_after, next_attempt, attempts, problem, revoked_at, created_at, updated_at, asked_by;

-- name: SetRevocation :execrows
UPDATE revocations SET next_attempt = @next_attempt, problem = @problem, revoked_at = @revoked_at, updated_at = now() WHERE certificate_id = @certificate_id;

-- name: DeleteRevocations :execrows
-- Of certificates that have ended: nobody asks about them any more.
DELETE FROM revocations WHERE not_after < @before;

-- name: InsertCompromisedKey :exec
INSERT INTO compromised_keys (spki_sha256) VALUES (@spki_sha256) ON CONFLICT DO NOTHING;

-- name: IsCompromisedKey :one
SELECT EXISTS (SELECT FROM compromised_keys WHERE spki_sha256 = @spki_sha256);
