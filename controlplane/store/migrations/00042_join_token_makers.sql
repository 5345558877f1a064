-- +goose Up

-- Who made a join token, as he was called then. '': it was before this was written down.
ALTER TABLE join_tokens ADD COLUMN created_by text NOT NULL DEFAULT '' CONSTRAINT join_tokens_created_by_check CHECK (length(created_by) <= 1024);

-- +goose Down
ALTER TABLE join_tokens DROP COLUMN created_by;
