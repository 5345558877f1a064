-- +goose Up
-- When the user of a key had shown a second factor in the session that he made it with: an organization that wants one of sessions
-- wants it of those keys, too. Keys of before have counted, and do.
ALTER TABLE api_keys ADD second_factor_at timestamptz;
UPDATE api_keys SET second_factor_at = created_at WHERE user_id IS NOT NULL;

-- +goose Down
ALTER TABLE api_keys DROP second_factor_at;
