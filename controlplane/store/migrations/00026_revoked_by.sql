-- +goose Up

-- Who had a certificate revoked, as the audit log calls him. '': it was before this was written down.
ALTER TABLE revocations ADD COLUMN asked_by text NOT NULL DEFAULT '' CONSTRAINT revocations_asked_by_check CHECK (length(asked_by) <= 1024);

-- +goose Down
ALTER TABLE revocations DROP COLUMN asked_by;
