-- name: GetSettings :one
SELECT cluster_id, coalesce(sign_in_url, '')::text AS sign_in_url FROM settings;

-- name: UpdateSignInURL :execrows
UPDATE settings SET sign_in_url = nullif(@sign_in_url::text, '') WHERE sign_in_url IS DISTINCT FROM nullif(@sign_in_url::text, '');

-- name: InsertAccessKey :exec
INSERT INTO access_keys (id, state, public_key, sealed_key) VALUES (@id, @state, @public_key, @sealed_key);

-- name: UpdateAccessKey :execrows
UPDATE access_keys SET state = @state, updated_at = now() WHERE id = @id;

-- name: DeleteAccessKey :execrows
DELETE FROM access_keys WHERE id = @id;

-- name: GetAccessKeys :many
SELECT id, state, public_key, sealed_key, created_at, updated_at FROM access_keys WHERE id = ANY(@ids::uuid[]);

-- name: AllAccessKeys :many
SELECT id, state, public_key, sealed_key, created_at, updated_at FROM access_keys ORDER BY id;

-- name: LockAccessKeys :exec
-- Whoever changes the keys of access tokens is alone until its transaction ends.
SELECT pg_advisory_xact_lock(7310021);

-- name: InsertAccessRevocation :exec
INSERT INTO access_revocations (id, session, subject) VALUES (@id, @session, @subject);

-- name: InsertStaleSubjects :exec
-- What was said of a subject is stale up to the newest moment: a row of an older one says nothing any more.
WITH older AS (DELETE FROM access_revocations WHERE stale AND subject = ANY(@subjects::text[]))
INSERT INTO access_revocations (id, session, subject, stale)
SELECT unnest(@ids::uuid[]), '', unnest(@subjects::text[]), true;

-- name: GetAccessRevocations :many
SELECT id, session, subject, before, created_at, updated_at, stale FROM access_revocations WHERE id = ANY(@ids::uuid[]);

-- name: AllAccessRevocations :many
SELECT id, session, subject, before, created_at, updated_at, stale FROM access_revocations;

-- name: PruneAccessRevocations :execrows
DELETE FROM access_revocations WHERE before < @before;

-- name: InsertAccessCode :exec
INSERT INTO access_codes (hash, host, binding, session_id, mail) VALUES (@hash, @host, @binding, @session_id, nullif(@mail::text, ''));

-- name: TakeAccessCode :one
DELETE FROM access_codes WHERE hash = @hash
RETURNING host, binding, session_id, coalesce(mail, '')::text AS mail, (created_at > clock_timestamp() - @life::interval)::boolean AS good;

-- name: PruneAccessCodes :execrows
DELETE FROM access_codes WHERE created_at < @before;

-- name: InsertMailCode :exec
INSERT INTO access_mail_codes (id, hash, mail, host, binding) VALUES (@id, @hash, @mail, @host, @binding);

-- name: TryMailCode :one
-- Counts an attempt. The row goes with the right code.
UPDATE access_mail_codes SET tries = tries + 1 WHERE id = @id
RETURNING hash, mail, host, binding, tries, (created_at > clock_timestamp() - @life::interval)::boolean AS good;

-- name: DeleteMailCode :exec
DELETE FROM access_mail_codes WHERE id = @id;

-- name: PruneMailCodes :execrows
DELETE FROM access_mail_codes WHERE created_at < @before;

-- name: Now :one
SELECT clock_timestamp()::timestamptz AS now;
