-- name: InsertCertificate :exec
INSERT INTO certificates (id, org_id, names, chain_pem, sealed_key, not_before, not_after)
VALUES (@id, @org_id, @names, @chain_pem, @sealed_key, @not_before, @not_after);

-- name: UpdateCertificate :execrows
UPDATE certificates
   SET org_id = @org_id, names = @names, chain_pem = @chain_pem, sealed_key = @sealed_key, not_before = @not_before, not_after = @not_after, updated_at = now()
 WHERE id = @id;

-- name: DeleteCertificate :execrows
DELETE FROM certificates WHERE id = @id;

-- name: GetCertificate :one
SELECT id, org_id, names, chain_pem, sealed_key, not_before, not_after, created_at, updated_at FROM certificates WHERE id = @id;

-- name: GetCertificates :many
SELECT id, org_id, names, chain_pem, sealed_key, not_before, not_after, created_at, updated_at FROM certificates WHERE id = ANY(@ids::uuid[]);

-- name: AllCertificates :many
SELECT id, org_id, names, chain_pem, sealed_key, not_before, not_after, created_at, updated_at FROM certificates;

-- name: ListCertificates :many
SELECT id, org_id, names, chain_pem, sealed_key, not_before, not_after, created_at, updated_at FROM certificates WHERE org_id = @org_id AND id > @after ORDER BY id LIMIT @most;

-- name: ListCertificatesNamed :many
SELECT id, org_id, names, chain_pem, sealed_key, not_before, not_after, created_at, updated_at FROM certificates WHERE org_id = @org_id AND @name::text = ANY(names) ORDER BY not_after DESC, id;
