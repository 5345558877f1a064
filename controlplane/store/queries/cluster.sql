-- name: GetClusterID :one
SELECT cluster_id FROM settings;

-- name: InsertClusterID :execrows
INSERT INTO settings (cluster_id) VALUES (@cluster_id) ON CONFLICT DO NOTHING;

-- name: InsertAuthority :exec
INSERT INTO authorities (kind, cert_pem, sealed_key) VALUES (@kind, @cert_pem, @sealed_key);

-- name: GetAuthority :one
SELECT kind, cert_pem, sealed_key FROM authorities WHERE kind = @kind;

-- name: AllAuthorities :many
SELECT kind, cert_pem, sealed_key FROM authorities;
