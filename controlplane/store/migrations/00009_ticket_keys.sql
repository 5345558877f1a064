-- +goose Up

-- Keys of TLS session tickets, which the nodes of a pool share. The states are those of gossip keys: all nodes can
-- open with a key before one seals with it.
CREATE TABLE ticket_keys (
    id         uuid PRIMARY KEY,
    pool_id    uuid NOT NULL CONSTRAINT ticket_keys_pool REFERENCES pools ON DELETE CASCADE,
    state      text NOT NULL CHECK (state IN ('opens', 'seals', 'retired')),
    sealed_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX ticket_keys_state ON ticket_keys (pool_id, state) WHERE state <> 'retired'; -- one at most of each
CREATE INDEX ticket_keys_by_pool ON ticket_keys (pool_id);

CREATE TRIGGER log_insert AFTER INSERT ON ticket_keys REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_update AFTER UPDATE ON ticket_keys REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_delete AFTER DELETE ON ticket_keys REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_truncate AFTER TRUNCATE ON ticket_keys FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');

-- +goose Down
DROP TABLE ticket_keys;
