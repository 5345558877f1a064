-- +goose Up

-- Whose CAA records name the accounts by which certificates are ordered (RFC 8657). So which account that is concerns nodes.
ALTER TABLE domains ADD COLUMN caa_account boolean NOT NULL DEFAULT false;
DROP TRIGGER log_update ON issuers;
CREATE TRIGGER log_update AFTER UPDATE ON issuers REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
    EXECUTE FUNCTION log_changes('id', 'sealed_account_key', 'sealed_pending_key', 'paused_until', 'failures', 'failing_since', 'last_problem',
        'directory_read_at', 'rollover_next_at', 'rollover_problem', 'rolled_over_at');

-- +goose Down
DROP TRIGGER log_update ON issuers;
CREATE TRIGGER log_update AFTER UPDATE ON issuers REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
    EXECUTE FUNCTION log_changes('id', 'account_url', 'sealed_account_key', 'sealed_pending_key', 'paused_until', 'failures', 'failing_since', 'last_problem',
        'directory_read_at', 'rollover_next_at', 'rollover_problem', 'rolled_over_at');
ALTER TABLE domains DROP COLUMN caa_account;
