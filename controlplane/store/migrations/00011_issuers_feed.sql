-- +goose Up

-- Zones say which authorities may issue (CAA), so nodes depend on issuers; how an issuer is doing is not their
-- matter. log_changes takes, behind the key column, columns whose changes alone are no change of configuration.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION log_changes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE apart text[] := array_prepend('updated_at', TG_ARGV[1:]);
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO change_log (kind, key, op)
        SELECT TG_TABLE_NAME, to_jsonb(n) ->> TG_ARGV[0], 'insert' FROM new_rows n;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO change_log (kind, key, op)
        SELECT TG_TABLE_NAME, to_jsonb(o) ->> TG_ARGV[0], 'delete' FROM old_rows o;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO change_log (kind, key, op)
        SELECT TG_TABLE_NAME, k, op
          FROM (SELECT to_jsonb(n) ->> TG_ARGV[0] AS k, 'update' AS op, to_jsonb(n) - apart AS v FROM new_rows n
                EXCEPT
                SELECT to_jsonb(o) ->> TG_ARGV[0], 'update', to_jsonb(o) - apart FROM old_rows o) changed
        UNION -- keys that an update took away
        SELECT TG_TABLE_NAME, k, 'delete'
          FROM (SELECT to_jsonb(o) ->> TG_ARGV[0] AS k FROM old_rows o
                EXCEPT
                SELECT to_jsonb(n) ->> TG_ARGV[0] FROM new_rows n) gone;
    ELSE
        INSERT INTO change_log (kind, key, op) VALUES (TG_TABLE_NAME, '', 'truncate');
    END IF;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER log_insert AFTER INSERT ON issuers REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_update AFTER UPDATE ON issuers REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
    EXECUTE FUNCTION log_changes('id', 'account_url', 'sealed_account_key', 'sealed_pending_key', 'paused_until', 'failures', 'failing_since', 'last_problem');
CREATE TRIGGER log_delete AFTER DELETE ON issuers REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_truncate AFTER TRUNCATE ON issuers FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');

-- +goose Down
DROP TRIGGER log_insert ON issuers;
DROP TRIGGER log_update ON issuers;
DROP TRIGGER log_delete ON issuers;
DROP TRIGGER log_truncate ON issuers;
