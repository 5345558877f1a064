-- name: GetUserPassword :one
SELECT hash FROM user_passwords WHERE user_id = @user_id;

-- name: PutUserPassword :exec
INSERT INTO user_passwords (user_id, hash) VALUES (@user_id, @hash) ON CONFLICT (user_id) DO UPDATE SET hash = @hash, updated_at = now();

-- name: ReplaceUserPassword :execrows
-- Only if it is still the one that was checked: a change at the same moment is not undone.
UPDATE user_passwords SET hash = @hash, updated_at = now() WHERE user_id = @user_id AND hash = @old;

-- name: GetUserTOTP :one
SELECT user_id, sealed_secret, confirmed_at, last_step FROM user_totps WHERE user_id = @user_id;

-- name: LockUserTOTP :one
SELECT user_id, sealed_secret, confirmed_at, last_step FROM user_totps WHERE user_id = @user_id FOR UPDATE;

-- name: PutUserTOTP :exec
INSERT INTO user_totps (user_id, sealed_secret) VALUES (@user_id, @sealed_secret)
ON CONFLICT (user_id) DO UPDATE SET sealed_secret = @sealed_secret, confirmed_at = NULL, last_step = 0, updated_at = now() WHERE user_totps.confirmed_at IS NULL;

-- name: UseUserTOTP :exec
UPDATE user_totps SET last_step = @last_step, confirmed_at = coalesce(confirmed_at, @now), updated_at = now() WHERE user_id = @user_id;

-- name: DeleteUserTOTP :exec
DELETE FROM user_totps WHERE user_id = @user_id;

-- name: PutUserBackupCodes :exec
WITH gone AS (DELETE FROM user_backup_codes WHERE user_id = @user_id)
INSERT INTO user_backup_codes (user_id, hash) SELECT @user_id, unnest(@hashes::bytea[]);

-- name: DeleteUserBackupCodes :exec
DELETE FROM user_backup_codes WHERE user_id = @user_id;

-- name: UseUserBackupCode :execrows
DELETE FROM user_backup_codes WHERE user_id = @user_id AND hash = @hash;

-- name: CountUserBackupCodes :one
SELECT count(*) FROM user_backup_codes WHERE user_id = @user_id;

-- name: InsertUserPasskey :exec
INSERT INTO user_passkeys (id, user_id, credential_id, name, record) VALUES (@id, @user_id, @credential_id, @name, @record);

-- name: ListUserPasskeys :many
SELECT id, user_id, credential_id, name, record, used_at, created_at FROM user_passkeys WHERE user_id = @user_id ORDER BY id;

-- name: UseUserPasskey :execrows
UPDATE user_passkeys SET record = @record, used_at = @now, updated_at = now() WHERE user_id = @user_id AND credential_id = @credential_id;

-- name: RenameUserPasskey :execrows
UPDATE user_passkeys SET name = @name, updated_at = now() WHERE id = @id AND user_id = @user_id;

-- name: DeleteUserPasskey :execrows
DELETE FROM user_passkeys WHERE id = @id AND user_id = @user_id;

-- name: InsertSigninFlow :exec
INSERT INTO signin_flows (hash, kind, user_id, data, expires_at) VALUES (@hash, @kind, @user_id, @data, @expires_at);

-- name: GetSigninFlow :one
SELECT kind, user_id, data, attempts, expires_at FROM signin_flows WHERE hash = @hash AND kind = @kind AND expires_at > @now;

-- name: TrySigninFlow :one
-- One more attempt, if there are any left.
UPDATE signin_flows SET attempts = attempts + 1 WHERE hash = @hash AND kind = @kind AND expires_at > @now AND attempts < @most
RETURNING kind, user_id, data, attempts, expires_at;

-- name: TakeSigninFlow :one
DELETE FROM signin_flows WHERE hash = @hash AND kind = @kind AND expires_at > @now RETURNING kind, user_id, data, attempts, expires_at;

-- name: DropSigninFlows :exec
DELETE FROM signin_flows WHERE kind = @kind AND user_id IS NOT DISTINCT FROM sqlc.narg(user_id);

-- name: PruneSigninFlows :execrows
DELETE FROM signin_flows WHERE expires_at <= @now;

-- name: CountAdministrators :one
SELECT count(*) FROM users WHERE cluster_role_id = @role_id AND disabled_at IS NULL;

-- name: InsertDeviceLogin :exec
INSERT INTO device_logins (id, hash, user_code, client, address, expires_at) VALUES (@id, @hash, @user_code, @client, @address, @expires_at);

-- name: CountDeviceLogins :one
SELECT count(*) FROM device_logins WHERE expires_at > @now;

-- name: GetDeviceLoginByCode :one
SELECT id, client, address, created_at FROM device_logins WHERE user_code = @user_code AND user_id IS NULL AND NOT denied AND expires_at > @now;

-- name: AnswerDeviceLogin :execrows
UPDATE device_logins SET user_id = sqlc.narg(user_id), amr = @amr, second_factor_at = sqlc.narg(second_factor_at), denied = @denied
 WHERE id = @id AND user_id IS NULL AND NOT denied AND expires_at > @now;

-- name: PollDeviceLogin :one
UPDATE device_logins d SET polled_at = @now FROM (SELECT o.id, o.polled_at FROM device_logins o WHERE o.hash = @hash FOR UPDATE) before
 WHERE d.id = before.id RETURNING d.id, d.client, d.user_id, d.amr, d.second_factor_at, d.denied, d.expires_at, before.polled_at AS before_at;

-- name: DeleteDeviceLogin :execrows
DELETE FROM device_logins WHERE id = @id;

-- name: PruneDeviceLogins :execrows
DELETE FROM device_logins WHERE expires_at <= @now;
