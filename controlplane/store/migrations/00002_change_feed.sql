-- +goose Up

-- The change feed: every change of configuration, in commit order, whoever made it.
--
-- Statement triggers write change_log rows without a revision. A deferred constraint trigger, which
-- runs at the end of the transaction, takes the counter row and stamps them all with the next revision.
-- The counter's row lock is held until commit, so revisions are dense and in commit order: a reader that has
-- seen revision R will never see a change at or below R appear later. NOTIFY carries nothing: it only wakes.

CREATE TABLE revision_counter (
    id  boolean PRIMARY KEY DEFAULT true CHECK (id),
    rev bigint NOT NULL
);
INSERT INTO revision_counter (rev) VALUES (0);

CREATE TABLE revisions (
    rev          bigint PRIMARY KEY,
    committed_at timestamptz NOT NULL,
    actor        text NOT NULL
);

CREATE TABLE change_log (
    id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rev  bigint, -- null until the transaction ends
    xid  xid8 NOT NULL DEFAULT pg_current_xact_id(),
    kind text NOT NULL,
    key  text NOT NULL, -- the row's primary key; '' with op 'truncate'
    op   text NOT NULL CHECK (op IN ('insert', 'update', 'delete', 'truncate'))
);
CREATE INDEX change_log_by_rev ON change_log (rev);
CREATE INDEX change_log_unstamped ON change_log (xid) WHERE rev IS NULL;

-- One function for all tables; its argument is the name of the key column. Rows that did not really change,
-- apart from the time of the update, are left out. The search path is fixed so that a writer with another one,
-- a restored dump for example, is logged like everybody else.
-- +goose StatementBegin
CREATE FUNCTION log_changes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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
          FROM (SELECT to_jsonb(n) ->> TG_ARGV[0] AS k, 'update' AS op, to_jsonb(n) - 'updated_at' AS v FROM new_rows n
                EXCEPT
                SELECT to_jsonb(o) ->> TG_ARGV[0], 'update', to_jsonb(o) - 'updated_at' FROM old_rows o) changed
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

-- +goose StatementBegin
CREATE FUNCTION stamp_changes() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE this bigint;
BEGIN
    PERFORM 1 FROM change_log WHERE id = NEW.id AND rev IS NULL;
    IF NOT FOUND THEN
        RETURN NULL; -- stamped together with an earlier row of this transaction
    END IF;
    UPDATE revision_counter SET rev = rev + 1 RETURNING rev INTO this;
    INSERT INTO revisions (rev, committed_at, actor)
    VALUES (this, clock_timestamp(), coalesce(nullif(current_setting('warren.actor', true), ''), 'sql:' || session_user));
    UPDATE change_log SET rev = this WHERE xid = pg_current_xact_id() AND rev IS NULL;
    PERFORM set_config('warren.revision', this::text, true); -- for the writer to read
    PERFORM pg_notify('warren_changes', '');
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE CONSTRAINT TRIGGER stamp_changes AFTER INSERT ON change_log
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stamp_changes();

-- +goose StatementBegin
DO $$
DECLARE t text; k text;
BEGIN
    FOR t, k IN VALUES ('organizations', 'id'), ('regions', 'id'), ('pools', 'id'), ('nodes', 'id'), ('sites', 'id'), ('connectors', 'id'),
                       ('services', 'id'), ('targets', 'id'), ('domains', 'id'), ('certificates', 'id'), ('authorities', 'kind')
    LOOP
        EXECUTE format('CREATE TRIGGER log_insert AFTER INSERT ON %I REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes(%L)', t, k);
        EXECUTE format('CREATE TRIGGER log_update AFTER UPDATE ON %I REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes(%L)', t, k);
        EXECUTE format('CREATE TRIGGER log_delete AFTER DELETE ON %I REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes(%L)', t, k);
        EXECUTE format('CREATE TRIGGER log_truncate AFTER TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION log_changes(%L)', t, k);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP TRIGGER stamp_changes ON change_log;
DROP TABLE change_log, revisions, revision_counter;
DROP FUNCTION log_changes CASCADE;
DROP FUNCTION stamp_changes;
