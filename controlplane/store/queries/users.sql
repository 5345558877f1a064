-- name: InsertUser :exec
INSERT INTO users (id, email, name, cluster_role_id, disabled_at)
VALUES (@id, @email, @name, @cluster_role_id, @disabled_at);

-- name: UpdateUser :execrows
UPDATE users
   SET email = @email, name = @name, cluster_role_id = @cluster_role_id, disabled_at = @disabled_at, updated_at = now()
 WHERE id = @id;

-- name: DeleteUser :execrows
DELETE FROM users WHERE id = @id;

-- name: GetUser :one
SELECT id, email, name, cluster_role_id, disabled_at, created_at, updated_at FROM users WHERE id = @id;

-- name: GetUserByEmail :one
SELECT id, email, name, cluster_role_id, disabled_at, created_at, updated_at FROM users WHERE email = @email;

-- name: ListUsers :many
SELECT id, email, name, cluster_role_id, disabled_at, created_at, updated_at FROM users WHERE email > @after ORDER BY email LIMIT @most;

-- name: CountUsers :one
SELECT count(*) FROM users;

-- name: LockUser :exec
SELECT FROM users WHERE id = @id FOR UPDATE;

-- name: ShareUser :exec
SELECT FROM users WHERE id = @id FOR SHARE;
