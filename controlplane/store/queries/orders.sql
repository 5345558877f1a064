-- name: InsertOrders :many
-- Nothing happens to those whose account has an order of these names under way, or whose issuer is suspended or gone: who makes it so
-- waits for this, or this for him. Names have no spaces.
WITH new AS (
    SELECT unnest(@ids::uuid[]) AS id, unnest(@org_ids::uuid[]) AS org_id, unnest(@managed_ids::uuid[]) AS managed_id, unnest(@issuer_ids::uuid[]) AS issuer_id,
           unnest(@names::text[]) AS names, unnest(@key_types::text[]) AS key_type, unnest(@profiles::text[]) AS profile, unnest(@renewals::boolean[]) AS renewal,
           unnest(@replaces::text[]) AS replaces, unnest(@certificate_ids::uuid[]) AS certificate_id, unnest(@next_attempts::timestamptz[]) AS next_attempt
)
INSERT INTO orders (id, org_id, managed_id, issuer_id, names, key_type, profile, renewal, replaces, certificate_id, next_attempt, created_at)
SELECT n.id, n.org_id, n.managed_id, i.id, string_to_array(n.names, ' '), n.key_type, n.profile, n.renewal, n.replaces, n.certificate_id, n.next_attempt, @created_at::timestamptz
  FROM new n JOIN issuers i ON i.id = n.issuer_id AND NOT i.suspended FOR SHARE OF i
    ON CONFLICT DO NOTHING
RETURNING id;

-- name: EndPlannedOrders :exec
-- Those that the authority has not heard of; their certificates are due. Who carries one has lost it.
WITH ended AS (
    UPDATE orders o SET state = 'failed', class = @class, problem = @problem, finished_at = @at, lease_holder = '', lease_until = NULL, updated_at = now()
     WHERE o.issuer_id = @issuer_id AND o.state = 'planned' AND o.intent_at IS NULL AND o.finished_at IS NULL
    RETURNING o.id, o.managed_id
), due AS (
    UPDATE managed_certificates m SET next_attempt = @at, last_problem = @problem, updated_at = now() FROM ended e WHERE m.id = e.managed_id
)
INSERT INTO order_events (order_id, at, state, what, problem) SELECT e.id, @at, 'failed', @class, @problem FROM ended e;

-- name: ClaimOrder :one
-- Leases are timed by the database's clock, which all replicas share.
UPDATE orders o
   SET lease_holder = @holder, lease_until = clock_timestamp() + make_interval(secs => @seconds::float8), fence = o.fence + 1
 WHERE o.id = (SELECT c.id FROM orders c
                WHERE c.finished_at IS NULL AND c.next_attempt <= @now AND (c.lease_until IS NULL OR c.lease_until <= clock_timestamp())
                ORDER BY c.next_attempt, c.id LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING o.id, o.org_id, o.managed_id, o.issuer_id, o.names, o.key_type, o.profile, o.renewal, o.replaces, o.certificate_id, o.state, o.intent_at, o.url, o.csr, o.sealed_key,
          o.chain_pem, o.challenge_revision, o.publish_revision, o.attempts, o.class, o.problem, o.next_attempt, o.lease_holder, o.lease_until, o.fence, o.finished_at,
          o.created_at, o.updated_at;

-- name: HoldOrder :execrows
-- Heartbeat: a lease that has run out can be had again as long as nobody else has it.
UPDATE orders SET lease_until = clock_timestamp() + make_interval(secs => @seconds::float8)
 WHERE id = @id AND fence = @fence AND lease_holder <> '' AND finished_at IS NULL;

-- name: WriteOrder :execrows
-- Request and key are written once; what was sealed anew since is not undone by who has read it before.
UPDATE orders
   SET state = @state, intent_at = @intent_at, url = @url, csr = coalesce(csr, @csr), sealed_key = coalesce(sealed_key, @sealed_key), chain_pem = @chain_pem, challenge_revision = @challenge_revision,
       publish_revision = @publish_revision, replaces = @replaces, profile = @profile, attempts = @attempts, class = @class, problem = @problem, next_attempt = @next_attempt,
       finished_at = @finished_at, updated_at = now(),
       lease_holder = CASE WHEN @release::boolean THEN '' ELSE lease_holder END, lease_until = CASE WHEN @release::boolean THEN NULL ELSE lease_until END
 WHERE id = @id AND fence = @fence AND finished_at IS NULL;

-- name: ReleaseOrderURL :execrows
-- An order that is over here and pending at its authority is gone on with by another row.
UPDATE orders SET url = '' WHERE url = @url AND finished_at IS NOT NULL;

-- name: GetOrder :one
SELECT id, org_id, managed_id, issuer_id, names, key_type, profile, renewal, replaces, certificate_id, state, intent_at, url, csr, sealed_key, chain_pem, challenge_revision,
       publish_revision, attempts, class, problem, next_attempt, lease_holder, lease_until, fence, finished_at, created_at, updated_at
  FROM orders WHERE id = @id;

-- name: GetOrderOfCertificate :one
SELECT id, org_id, managed_id, issuer_id, names, key_type, profile, renewal, replaces, certificate_id, state, intent_at, url, csr, sealed_key, chain_pem, challenge_revision,
       publish_revision, attempts, class, problem, next_attempt, lease_holder, lease_until, fence, finished_at, created_at, updated_at
  FROM orders WHERE certificate_id = @certificate_id;

-- name: ListOrdersOf :many
SELECT id, org_id, managed_id, issuer_id, names, key_type, profile, renewal, replaces, certificate_id, state, intent_at, url, csr, sealed_key, chain_pem, challenge_revision,
       publish_revision, attempts, class, problem, next_attempt, lease_holder, lease_until, fence, finished_at, created_at, updated_at
  FROM orders WHERE managed_id = @managed_id ORDER BY created_at DESC, id DESC LIMIT @most;

-- name: CountOrdersUnderWay :many
SELECT issuer_id, count(*) AS orders FROM orders WHERE finished_at IS NULL AND url = '' GROUP BY issuer_id;

-- name: KnownOrderURLs :many
SELECT url FROM orders WHERE url = ANY(@urls::text[]);

-- name: InsertOrderEvents :exec
INSERT INTO order_events (order_id, at, state, what, problem)
SELECT unnest(@order_ids::uuid[]), unnest(@ats::timestamptz[]), unnest(@states::text[]), unnest(@whats::text[]), unnest(@problems::text[]);

-- name: ListOrderEvents :many
SELECT id, order_id, at, state, what, problem FROM order_events WHERE order_id = ANY(@orders::uuid[]) ORDER BY id;

-- name: PruneOrders :execrows
-- The newest order of a certificate stays, and the one that what it has came of: their timelines say how it came to be.
DELETE FROM orders o WHERE o.finished_at < @before
   AND EXISTS (SELECT FROM orders n WHERE n.managed_id = o.managed_id AND n.created_at > o.created_at)
   AND NOT EXISTS (SELECT FROM managed_certificates m WHERE m.certificate_id = o.certificate_id);
