-- name: InsertCertificate :exec
INSERT INTO certificates (id, org_id, names, chain_pem, sealed_key, not_before, not_after, managed_id, issuer_id, uploaded, superseded_by, key_type)
VALUES (@id, @org_id, @names, @chain_pem, @sealed_key, @not_before, @not_after, @managed_id, @issuer_id, @uploaded, @superseded_by, @key_type);

-- name: UpdateCertificate :execrows
UPDATE certificates
   SET org_id = @org_id, names = @names, chain_pem = @chain_pem, sealed_key = @sealed_key, not_before = @not_before, not_after = @not_after,
       managed_id = @managed_id, issuer_id = @issuer_id, uploaded = @uploaded, superseded_by = @superseded_by, key_type = @key_type, updated_at = now()
 WHERE id = @id;

-- name: DeleteCertificate :execrows
DELETE FROM certificates WHERE id = @id;

-- name: GetCertificate :one
SELECT id, org_id, names, chain_pem, sealed_key, not_before, not_after, created_at, updated_at, managed_id, issuer_id, uploaded, superseded_by, key_type FROM certificates WHERE id = @id;

-- name: GetCertificates :many
SELECT id, org_id, names, chain_pem, sealed_key, not_before, not_after, created_at, updated_at, managed_id, issuer_id, uploaded, superseded_by, key_type FROM certificates WHERE id = ANY(@ids::uuid[]);

-- name: AllCertificates :many
SELECT id, org_id, names, chain_pem, sealed_key, not_before, not_after, created_at, updated_at, managed_id, issuer_id, uploaded, superseded_by, key_type FROM certificates;

-- name: ListCertificates :many
SELECT id, org_id, names, chain_pem, sealed_key, not_before, not_after, created_at, updated_at, managed_id, issuer_id, uploaded, superseded_by, key_type FROM certificates WHERE org_id = @org_id AND id > @after ORDER BY id LIMIT @most;

-- name: ListCertificatesNamed :many
SELECT id, org_id, names, chain_pem, sealed_key, not_before, not_after, created_at, updated_at, managed_id, issuer_id, uploaded, superseded_by, key_type FROM certificates WHERE org_id = @org_id AND @name::text = ANY(names) ORDER BY not_after DESC, id;

-- name: SupersedeCertificates :execrows
-- What a new certificate takes the place of: its predecessors, and what the cluster's own authority made for names
-- that it carries.
UPDATE certificates c SET superseded_by = n.id, updated_at = now()
  FROM certificates n
 WHERE n.id = @id AND c.org_id = n.org_id AND c.id <> n.id AND NOT c.uploaded
   AND (c.managed_id = n.managed_id
        OR c.managed_id IS NULL AND c.issuer_id IS NULL
           AND NOT EXISTS (SELECT FROM unnest(c.names) name WHERE name <> ALL (n.names) AND regexp_replace(name, '^[^*.]+\.', '*.') <> ALL (n.names)));

-- name: SupersedeOwn :execrows
-- What the cluster's own authority made gives way to what somebody has uploaded for its names, as long as that is good.
UPDATE certificates c SET superseded_by = n.id, updated_at = now()
  FROM certificates n
 WHERE c.managed_id IS NULL AND c.issuer_id IS NULL AND NOT c.uploaded AND c.superseded_by IS NULL
   AND n.org_id = c.org_id AND n.uploaded AND n.superseded_by IS NULL AND n.not_before <= @now AND n.not_after > @soon
   AND NOT EXISTS (SELECT FROM unnest(c.names) name WHERE name <> ALL (n.names) AND regexp_replace(name, '^[^*.]+\.', '*.') <> ALL (n.names));

-- name: RecallOwn :execrows
-- When that ends, what gave way to it and is still good comes back.
UPDATE certificates c SET superseded_by = NULL, updated_at = now()
  FROM certificates n
 WHERE c.superseded_by = n.id AND c.managed_id IS NULL AND c.issuer_id IS NULL AND NOT c.uploaded AND c.not_after > @soon
   AND n.uploaded AND n.not_after <= @soon;

-- name: SupersedeUnwanted :execrows
-- What nobody renews any more because others carry its names gives way to them: it would be chosen until it ends, and after.
-- Where there is to be one of the same type of key, it gives way to that alone.
UPDATE certificates c SET superseded_by = n.id, updated_at = now()
  FROM managed_certificates u, managed_certificates w JOIN certificates n ON n.id = w.certificate_id
 WHERE c.managed_id = u.id AND NOT u.wanted AND c.superseded_by IS NULL AND w.wanted AND w.org_id = u.org_id AND n.superseded_by IS NULL AND n.not_after > @now
   AND (w.key_type = u.key_type
        OR NOT EXISTS (SELECT FROM managed_certificates s WHERE s.org_id = w.org_id AND s.names = w.names AND s.key_type = u.key_type AND s.wanted))
   AND NOT EXISTS (SELECT FROM unnest(c.names) name WHERE name <> ALL (n.names) AND regexp_replace(name, '^[^*.]+\.', '*.') <> ALL (n.names));

-- name: SupersedeExpired :execrows
-- What somebody has uploaded and nobody has renewed gives way, when it ends, to whatever carries one of its names for longer: for its others it
-- is chosen as before.
UPDATE certificates c SET superseded_by = n.id, updated_at = now()
  FROM certificates n
 WHERE c.uploaded AND c.superseded_by IS NULL AND c.not_after <= @soon AND n.org_id = c.org_id AND n.superseded_by IS NULL
   AND n.not_before <= @now AND n.not_after > @soon
   AND EXISTS (SELECT FROM unnest(c.names) name WHERE name = ANY (n.names) OR regexp_replace(name, '^[^*.]+\.', '*.') = ANY (n.names));

-- name: AdoptCertificates :execrows
-- What was made for one managed certificate is another one's from now on, and gives way to what that has.
UPDATE certificates SET managed_id = @heir, superseded_by = coalesce(sqlc.narg('superseded_by'), superseded_by), updated_at = now() WHERE managed_id = @managed_id;

-- name: SupersededCertificates :many
-- What was replaced long enough ago by a certificate that all nodes have. What somebody has uploaded is his to remove.
SELECT c.id FROM certificates c JOIN orders o ON o.certificate_id = c.superseded_by
 WHERE NOT c.uploaded AND o.state = 'acked' AND o.finished_at <= @before ORDER BY c.id LIMIT 500;
