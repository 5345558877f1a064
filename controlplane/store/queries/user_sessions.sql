-- name: InsertUserSession :exec
INSERT INTO user_sessions (id, user_id, hash, address, user_agent, amr, second_factor_at, seen_at, expires_at)
VALUES (@id, @user_id, @hash, @address, @user_agent, @amr, @second_factor_at, @seen_at, @expires_at);

-- name: GetUserSession :one
SELECT id, user_id, hash, address, user_agent, amr, second_factor_at, seen_at, expires_at, created_at, updated_at FROM user_sessions WHERE id = @id;

-- name: GetUserSessionByHash :one
SELECT id, user_id, hash, address, user_agent, amr, second_factor_at, seen_at, expires_at, created_at, updated_at FROM user_sessions WHERE hash = @hash;

-- name: ListUserSessions :many
SELECT id, user_id, hash, address, user_agent, amr, second_factor_at, seen_at, expires_at, created_at, updated_at FROM user_sessions
 WHERE user_id = @user_id ORDER BY id;

-- name: TouchUserSession :exec
-- Not waited for: of two who have seen it at once, one writes.
UPDATE user_sessions SET seen_at = @seen_at, address = @address, updated_at = now()
 WHERE id = (SELECT s.id FROM user_sessions s WHERE s.id = @id AND s.seen_at < @seen_at FOR UPDATE SKIP LOCKED);

-- name: RenewUserSession :execrows
-- Another token and another way of having signed in, for the same session: of a token that is stepped up nothing stays.
UPDATE user_sessions SET hash = @hash, amr = @amr, second_factor_at = @second_factor_at, seen_at = @seen_at, updated_at = now() WHERE id = @id;

-- name: DeleteUserSession :execrows
DELETE FROM user_sessions WHERE id = @id;

-- name: DeleteUserSessions :many
DELETE FROM user_sessions WHERE user_id = @user_id AND id <> @but RETURNING id;

-- name: PruneUserSessions :execrows
DELETE FROM user_sessions WHERE expires_at <= @now OR seen_at <= @idle_since;
