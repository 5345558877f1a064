-- name: InsertIssuer :exec
INSERT INTO issuers (id, name, directory_url, contacts, eab_key_id, sealed_eab_key, roots_pem, rank, profiles, caa_identities, limits, suspended)
VALUES (@id, @name, @directory_url, @contacts, @eab_key_id, @sealed_eab_key, @roots_pem, @rank, @profiles, @caa_identities, @limits, @suspended);

-- name: UpdateIssuer :execrows
-- What the operator says. Another directory is another authority: the account there is gone.
UPDATE issuers
   SET name = @name, contacts = @contacts, eab_key_id = @eab_key_id, sealed_eab_key = @sealed_eab_key, roots_pem = @roots_pem, rank = @rank,
       profiles = @profiles, caa_identities = @caa_identities, limits = @limits, suspended = @suspended, updated_at = now()
 WHERE id = @id AND directory_url = @directory_url;

-- name: DeleteIssuer :execrows
DELETE FROM issuers WHERE id = @id AND directory_url <> '';

-- name: IssuerUse :one
-- What an issuer is still needed for.
SELECT (SELECT count(*) FROM orders o WHERE o.issuer_id = @id AND o.finished_at IS NULL) AS orders,
       (SELECT count(*) FROM certificates c WHERE c.issuer_id = @id AND c.not_after > @now) AS certificates,
       (SELECT coalesce(max(c.not_after), @now)::timestamptz FROM certificates c WHERE c.issuer_id = @id) AS valid_until,
       (SELECT count(*) FROM revocations r WHERE r.issuer_id = @id AND r.revoked_at IS NULL AND r.not_after > @now) AS revocations,
       (SELECT count(*) FROM managed_certificates m WHERE m.issuer_id = @id AND m.wanted) AS pinned,
       (SELECT coalesce(min(m.names[1]), '')::text FROM managed_certificates m WHERE m.issuer_id = @id AND m.wanted) AS pinned_name;

-- name: DeleteEndedCertificates :execrows
DELETE FROM certificates WHERE issuer_id = @issuer_id AND not_after <= @now;

-- name: DeleteEndedRevocations :execrows
DELETE FROM revocations WHERE issuer_id = @issuer_id AND (revoked_at IS NOT NULL OR not_after <= @now);

-- name: UnpinUnwanted :execrows
-- What nobody needs is ordered by rank, should it be needed again.
UPDATE managed_certificates SET issuer_id = NULL, updated_at = now() WHERE issuer_id = @issuer_id AND NOT wanted;

-- name: GetIssuer :one
SELECT id, name, directory_url, contacts, eab_key_id, sealed_eab_key, roots_pem, rank, profiles, caa_identities, limits, account_url, sealed_account_key,
       sealed_pending_key, paused_until, failures, failing_since, last_problem, created_at, updated_at,
       directory_caa, directory_read_at, rollover_next_at, rollover_problem, rolled_over_at, suspended
  FROM issuers WHERE id = @id;

-- name: LockIssuer :one
SELECT id, name, directory_url, contacts, eab_key_id, sealed_eab_key, roots_pem, rank, profiles, caa_identities, limits, account_url, sealed_account_key,
       sealed_pending_key, paused_until, failures, failing_since, last_problem, created_at, updated_at,
       directory_caa, directory_read_at, rollover_next_at, rollover_problem, rolled_over_at, suspended
  FROM issuers WHERE id = @id FOR UPDATE;

-- name: ListIssuers :many
SELECT id, name, directory_url, contacts, eab_key_id, sealed_eab_key, roots_pem, rank, profiles, caa_identities, limits, account_url, sealed_account_key,
       sealed_pending_key, paused_until, failures, failing_since, last_problem, created_at, updated_at,
       directory_caa, directory_read_at, rollover_next_at, rollover_problem, rolled_over_at, suspended
  FROM issuers ORDER BY rank, name;

-- name: HasIssuers :one
-- Whether certificates are ordered from any but the cluster's own authority.
SELECT EXISTS (SELECT FROM issuers WHERE directory_url <> '' AND NOT suspended);

-- name: SetAccountKeys :execrows
UPDATE issuers SET sealed_account_key = @sealed_account_key, sealed_pending_key = @sealed_pending_key, updated_at = now() WHERE id = @id;

-- name: SetDirectory :execrows
-- What the authority says of itself.
UPDATE issuers SET directory_caa = @directory_caa, directory_read_at = @at, updated_at = now() WHERE id = @id;

-- name: SetAccountURL :execrows
UPDATE issuers SET account_url = @account_url, updated_at = now() WHERE id = @id;

-- name: SetIssuerHealth :execrows
UPDATE issuers SET paused_until = @paused_until, failures = @failures, failing_since = @failing_since, last_problem = @last_problem, updated_at = now() WHERE id = @id;

-- name: PauseIssuer :execrows
UPDATE issuers SET paused_until = greatest(paused_until, @until::timestamptz), updated_at = now() WHERE id = @id;

-- name: HeedIssuer :many
-- What stands between an issuer and a request at this moment: a row without a limit or one for each, and whether the order that the request is for
-- is still its carrier's.
SELECT i.paused_until, coalesce(l.request, '')::text AS request, coalesce(l.until, i.created_at)::timestamptz AS until,
       EXISTS (SELECT FROM orders o WHERE o.id = @order_id AND o.fence = @fence AND o.lease_until > clock_timestamp() AND o.finished_at IS NULL) AS held
  FROM issuers i LEFT JOIN issuer_limits l ON l.issuer_id = i.id WHERE i.id = @id;

-- name: FillBuckets :exec
INSERT INTO budgets (issuer_id, kind, key, tokens, updated_at)
SELECT @issuer_id, unnest(@kinds::text[]), unnest(@keys::text[]), unnest(@tokens::float8[]), @at
    ON CONFLICT DO NOTHING;

-- name: LockBuckets :many
SELECT b.kind, b.key, b.tokens, b.updated_at FROM budgets b
 WHERE b.issuer_id = @issuer_id AND (b.kind, b.key) IN (SELECT unnest(@kinds::text[]), unnest(@keys::text[]))
 ORDER BY b.kind, b.key FOR UPDATE;

-- name: ListBuckets :many
SELECT kind, key, tokens, updated_at FROM budgets WHERE issuer_id = @issuer_id AND kind = @kind ORDER BY key;

-- name: SetBucket :exec
UPDATE budgets SET tokens = @tokens, updated_at = @at WHERE issuer_id = @issuer_id AND kind = @kind AND key = @key;

-- name: DeleteFullBuckets :execrows
-- A bucket that nothing was taken from for the longest window is full: it need not be there.
DELETE FROM budgets WHERE updated_at < @before;

-- name: GetIssuers :many
-- The cluster's own is no configuration of nodes.
SELECT id, name, directory_url, contacts, eab_key_id, sealed_eab_key, roots_pem, rank, profiles, caa_identities, limits, account_url, sealed_account_key,
       sealed_pending_key, paused_until, failures, failing_since, last_problem, created_at, updated_at,
       directory_caa, directory_read_at, rollover_next_at, rollover_problem, rolled_over_at, suspended
  FROM issuers WHERE id = ANY(@ids::uuid[]) AND directory_url <> '';

-- name: AllIssuers :many
SELECT id, name, directory_url, contacts, eab_key_id, sealed_eab_key, roots_pem, rank, profiles, caa_identities, limits, account_url, sealed_account_key,
       sealed_pending_key, paused_until, failures, failing_since, last_problem, created_at, updated_at,
       directory_caa, directory_read_at, rollover_next_at, rollover_problem, rolled_over_at, suspended
  FROM issuers WHERE directory_url <> '';

-- name: AskRollover :execrows
-- One that is under way goes on as it is.
UPDATE issuers SET rollover_next_at = coalesce(rollover_next_at, @at), updated_at = now() WHERE id = @id AND account_url <> '';

-- name: ClaimRollover :one
-- Nobody else carries it on before a moment.
UPDATE issuers SET rollover_next_at = @until
 WHERE id = (SELECT i.id FROM issuers i
              WHERE i.rollover_next_at <= @now AND (i.paused_until IS NULL OR i.paused_until <= @now) ORDER BY i.rollover_next_at, i.id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING id;

-- name: SetPendingKey :execrows
-- Written once: whoever asks the authority asks with this key.
UPDATE issuers SET sealed_pending_key = @sealed_pending_key, updated_at = now() WHERE id = @id AND sealed_pending_key IS NULL AND rollover_next_at IS NOT NULL;

-- name: DelayRollover :execrows
UPDATE issuers SET rollover_next_at = @at, rollover_problem = @problem, updated_at = now() WHERE id = @id AND rollover_next_at IS NOT NULL;

-- name: FinishRollover :execrows
-- What is pending now counts: it may have been sealed anew meanwhile.
UPDATE issuers
   SET sealed_account_key = sealed_pending_key, sealed_pending_key = NULL, rollover_next_at = NULL, rollover_problem = '', rolled_over_at = @at, updated_at = now()
 WHERE id = @id AND sealed_pending_key IS NOT NULL;

-- name: HasOrdersInValidation :one
-- Orders whose challenges an authority may look at now.
SELECT EXISTS (SELECT FROM orders
                WHERE issuer_id = @issuer_id AND finished_at IS NULL AND (state = 'initiated' OR state = 'nodes_acked' AND lease_until > clock_timestamp()));

-- name: ListIssuerLimits :many
SELECT issuer_id, request, until FROM issuer_limits;

-- name: LimitIssuer :exec
INSERT INTO issuer_limits (issuer_id, request, until) VALUES (@issuer_id, @request, @until)
    ON CONFLICT (issuer_id, request) DO UPDATE SET until = greatest(issuer_limits.until, excluded.until);

-- name: DeletePastLimits :exec
DELETE FROM issuer_limits WHERE until <= @now;
