-- name: InsertManagedCertificate :exec
INSERT INTO managed_certificates (id, org_id, names, key_type, profile, issuer_id, next_attempt)
VALUES (@id, @org_id, @names, @key_type, @profile, @issuer_id, @next_attempt)
    ON CONFLICT ON CONSTRAINT managed_certificates_names DO UPDATE SET wanted = true, updated_at = now();

-- name: InsertManagedCertificates :exec
-- What services need, as nobody has said anything else of it. An organization may be gone meanwhile. Names have no spaces.
WITH new AS (
    SELECT unnest(@ids::uuid[]) AS id, unnest(@org_ids::uuid[]) AS org_id, unnest(@names::text[]) AS names, unnest(@key_types::text[]) AS key_type,
           unnest(@next_attempts::timestamptz[]) AS next_attempt
)
INSERT INTO managed_certificates (id, org_id, names, key_type, next_attempt)
SELECT n.id, o.id, string_to_array(n.names, ' '), n.key_type, n.next_attempt FROM new n JOIN organizations o ON o.id = n.org_id FOR KEY SHARE OF o
    ON CONFLICT ON CONSTRAINT managed_certificates_names DO UPDATE SET wanted = true, updated_at = now();

-- name: UpdateManagedCertificate :execrows
UPDATE managed_certificates
   SET profile = @profile, issuer_id = @issuer_id, wanted = @wanted, certificate_id = @certificate_id, renew_at = @renew_at, ari_start = @ari_start, ari_end = @ari_end,
       ari_poll_at = @ari_poll_at, next_attempt = @next_attempt, ladder_step = @ladder_step, last_problem = @last_problem, failing_since = @failing_since,
       held = @held, updated_at = now()
 WHERE id = @id;

-- name: DeleteManagedCertificate :execrows
DELETE FROM managed_certificates WHERE id = @id;

-- name: GetManagedCertificate :one
SELECT id, org_id, names, key_type, profile, issuer_id, wanted, certificate_id, renew_at, ari_start, ari_end, ari_poll_at, next_attempt, ladder_step, last_problem, failing_since,
       created_at, updated_at, held
  FROM managed_certificates WHERE id = @id;

-- name: LockManagedCertificate :one
SELECT id, org_id, names, key_type, profile, issuer_id, wanted, certificate_id, renew_at, ari_start, ari_end, ari_poll_at, next_attempt, ladder_step, last_problem, failing_since,
       created_at, updated_at, held
  FROM managed_certificates WHERE id = @id FOR UPDATE;

-- name: AllManagedCertificates :many
SELECT id, org_id, names, key_type, profile, issuer_id, wanted, certificate_id, renew_at, ari_start, ari_end, ari_poll_at, next_attempt, ladder_step, last_problem, failing_since,
       created_at, updated_at, held
  FROM managed_certificates ORDER BY id;

-- name: ListManagedCertificates :many
SELECT id, org_id, names, key_type, profile, issuer_id, wanted, certificate_id, renew_at, ari_start, ari_end, ari_poll_at, next_attempt, ladder_step, last_problem, failing_since,
       created_at, updated_at, held
  FROM managed_certificates WHERE org_id = @org_id AND id > @after ORDER BY id LIMIT @most;

-- name: ListManagedProblems :many
-- What is wanted of a domain and could not be had last.
SELECT id, org_id, names, key_type, profile, issuer_id, wanted, certificate_id, renew_at, ari_start, ari_end, ari_poll_at, next_attempt, ladder_step, last_problem, failing_since,
       created_at, updated_at, held
  FROM managed_certificates
 WHERE org_id = @org_id AND wanted AND last_problem <> '' AND EXISTS (SELECT FROM unnest(names) n WHERE right('.' || n, length(@apex::text) + 1) = '.' || @apex::text)
 ORDER BY names, key_type LIMIT @most;

-- name: DueManagedCertificates :many
-- What is to be ordered and has no order under way, the soonest to expire first: what has no certificate is the
-- soonest of all.
SELECT m.id, m.org_id, m.names, m.key_type, m.profile, m.issuer_id, m.wanted, m.certificate_id, m.renew_at, m.ari_start, m.ari_end, m.ari_poll_at, m.next_attempt,
       m.ladder_step, m.last_problem, m.failing_since, m.created_at, m.updated_at, m.held, c.not_after
  FROM managed_certificates m LEFT JOIN certificates c ON c.id = m.certificate_id
 WHERE m.wanted AND m.next_attempt <= @now AND NOT EXISTS (SELECT FROM orders o WHERE o.managed_id = m.id AND o.finished_at IS NULL)
 ORDER BY c.not_after NULLS FIRST, m.id
 LIMIT @most;

-- name: ManagedCertificatesToPoll :many
SELECT m.id, m.org_id, m.names, m.key_type, m.profile, m.issuer_id, m.wanted, m.certificate_id, m.renew_at, m.ari_start, m.ari_end, m.ari_poll_at, m.next_attempt,
       m.ladder_step, m.last_problem, m.failing_since, m.created_at, m.updated_at, m.held
  FROM managed_certificates m
 WHERE m.wanted AND m.ari_poll_at <= @now
 ORDER BY m.ari_poll_at, m.id LIMIT @most;

-- name: ResetLadder :execrows
-- The customer has changed something: what failed is tried again at once, also with issuers that could not issue.
UPDATE managed_certificates
   SET ladder_step = 0, next_attempt = least(next_attempt, @at), updated_at = now(),
       held = (SELECT coalesce(jsonb_object_agg(h.key, h.value), '{}') FROM jsonb_each(held) h WHERE h.value ->> 'why' <> 'caa')
 WHERE org_id = @org_id AND ladder_step > 0
   AND EXISTS (SELECT FROM unnest(names) n WHERE right('.' || n, length(@apex::text) + 1) = '.' || @apex::text);

-- name: FindManagedCertificates :many
-- Those that carry a name; what services need comes first, then what is preferred.
SELECT id, org_id, names, key_type, profile, issuer_id, wanted, certificate_id, renew_at, ari_start, ari_end, ari_poll_at, next_attempt, ladder_step, last_problem, failing_since,
       created_at, updated_at, held
  FROM managed_certificates WHERE org_id = @org_id AND @name::text = ANY(names) ORDER BY wanted DESC, key_type, id;

-- name: ConfigureManagedCertificate :execrows
-- Of another kind: it is ordered at once.
UPDATE managed_certificates SET key_type = @key_type, profile = @profile, issuer_id = @issuer_id, ladder_step = 0, next_attempt = @at, updated_at = now() WHERE id = @id;

-- name: DeleteUnused :execrows
-- What nobody needs, has no certificate and was never said anything about by an operator leaves nothing behind.
DELETE FROM managed_certificates m
 WHERE NOT m.wanted AND m.certificate_id IS NULL AND m.profile = '' AND m.issuer_id IS NULL AND m.key_type = 'ecdsa' AND m.updated_at < @before
   AND NOT EXISTS (SELECT FROM orders o WHERE o.managed_id = m.id AND o.finished_at IS NULL)
   AND NOT EXISTS (SELECT FROM managed_certificates o WHERE o.org_id = m.org_id AND o.names = m.names AND o.id <> m.id); -- one of several types of key was asked for
