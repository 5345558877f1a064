-- +goose Up

-- Who has said that he knows of an alert. It ends with the alert.
ALTER TABLE alerts ADD COLUMN acked_at timestamptz, ADD COLUMN acked_by text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE alerts DROP COLUMN acked_at, DROP COLUMN acked_by;
