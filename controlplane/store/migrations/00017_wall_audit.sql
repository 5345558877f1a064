-- +goose Up

-- The second wall: transactions on behalf of a caller see the organizations that he may see, whatever the program asks
-- for. Who says nothing sees everything: the feed, the worker, an operator with psql.
-- +goose StatementBegin
CREATE FUNCTION seen_organizations() RETURNS uuid[] LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(current_setting('warren.organizations', true), '')::uuid[] -- null: all
$$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION seen_user() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT nullif(current_setting('warren.user', true), '')::uuid
$$;
-- +goose StatementEnd

-- Superusers, and who else bypasses row security, put this role on before they act for a caller. Who may not make it
-- is none of them, and the policies hold for him as the owner of the tables.
-- +goose StatementBegin
DO $$
BEGIN
    CREATE ROLE warren_caller NOLOGIN;
EXCEPTION
    WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL; -- another database of this server has it, or none will
END $$;
-- +goose StatementEnd

-- What belongs to an organization in another way than by a column.
-- +goose StatementBegin
DO $$
DECLARE t text; cond text;
BEGIN
    FOR t, cond IN VALUES
        ('organizations', 'id = ANY ((SELECT seen_organizations())::uuid[])'),
        ('api_keys', 'org_id = ANY ((SELECT seen_organizations())::uuid[]) OR user_id = (SELECT seen_user())'),
        ('domain_findings', 'EXISTS (SELECT FROM domains d WHERE d.id = domain_id)'),
        ('order_events', 'EXISTS (SELECT FROM orders o WHERE o.id = order_id)'),
        ('join_tokens', 'EXISTS (SELECT FROM connectors c WHERE c.id = connector_id)'),
        ('user_sessions', 'user_id = (SELECT seen_user())')
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY seen ON %I USING ((SELECT seen_organizations()) IS NULL OR %s)', t, cond);
    END LOOP;
END $$;
-- +goose StatementEnd

-- Roles that are built in are everybody's to read; users are known to those who share an organization.
ALTER TABLE roles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY seen ON roles USING ((SELECT seen_organizations()) IS NULL OR org_id = ANY ((SELECT seen_organizations())::uuid[]));
CREATE POLICY known ON roles FOR SELECT USING (org_id IS NULL);
ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY seen ON users USING ((SELECT seen_organizations()) IS NULL);
CREATE POLICY known ON users FOR SELECT USING (id = (SELECT seen_user()) OR EXISTS (SELECT FROM memberships m WHERE m.user_id = id));
CREATE POLICY locked ON users FOR UPDATE USING (id = (SELECT seen_user()) OR EXISTS (SELECT FROM memberships m WHERE m.user_id = id))
    WITH CHECK (id = (SELECT seen_user()));

-- What one organization has is compared with what all have.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION domains_apart() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE taken boolean; seen text := coalesce(current_setting('warren.organizations', true), '');
BEGIN
    PERFORM pg_advisory_xact_lock(7310001);
    PERFORM set_config('warren.organizations', '', true);
    taken := EXISTS (SELECT FROM domains d WHERE d.org_id <> NEW.org_id AND d.id <> NEW.id
        AND (right('.' || NEW.name, length(d.name) + 1) = '.' || d.name OR right('.' || d.name, length(NEW.name) + 1) = '.' || NEW.name));
    PERFORM set_config('warren.organizations', seen, true);
    IF taken THEN
        RAISE EXCEPTION 'domain overlaps one of another organization'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'domains_apart', TABLE = 'domains';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION services_ports_apart() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE taken boolean; seen text := coalesce(current_setting('warren.organizations', true), '');
BEGIN
    PERFORM pg_advisory_xact_lock(7310004);
    PERFORM set_config('warren.organizations', '', true);
    taken := EXISTS (SELECT FROM services s
        WHERE s.pool_id = NEW.pool_id AND s.kind = NEW.kind AND s.id <> NEW.id
          AND s.first_port BETWEEN NEW.first_port - 999 AND NEW.last_port AND s.last_port >= NEW.first_port);
    PERFORM set_config('warren.organizations', seen, true);
    IF taken THEN
        RAISE EXCEPTION 'ports overlap those of another service'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'services_ports', TABLE = 'services';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION wireguard_keys_apart() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE taken boolean; seen text := coalesce(current_setting('warren.organizations', true), '');
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.wireguard_public_key IS NOT DISTINCT FROM OLD.wireguard_public_key THEN
        RETURN NEW; -- and nobody waits
    END IF;
    PERFORM pg_advisory_xact_lock(7310006);
    PERFORM set_config('warren.organizations', '', true);
    taken := TG_TABLE_NAME <> 'nodes' AND EXISTS (SELECT FROM nodes WHERE wireguard_public_key = NEW.wireguard_public_key)
        OR TG_TABLE_NAME <> 'connectors' AND EXISTS (SELECT FROM connectors WHERE wireguard_public_key = NEW.wireguard_public_key)
        OR TG_TABLE_NAME <> 'sites' AND EXISTS (SELECT FROM sites WHERE wireguard_public_key = NEW.wireguard_public_key);
    PERFORM set_config('warren.organizations', seen, true);
    IF taken THEN
        RAISE EXCEPTION 'WireGuard key of another peer'
            USING ERRCODE = 'unique_violation', CONSTRAINT = TG_TABLE_NAME || '_wireguard_key', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- What was done, by whom, from where. Entries are added; each carries the hash of the one before it, so that nobody
-- changes or removes one unseen. The row of the head is locked until the transaction ends, as the counter of revisions.
CREATE TABLE audit_log (
    seq         bigint PRIMARY KEY,
    at          timestamptz NOT NULL,
    actor       text NOT NULL,
    actor_name  text NOT NULL DEFAULT '',
    credential  text NOT NULL DEFAULT '',
    address     text NOT NULL DEFAULT '',
    action      text NOT NULL,
    org_id      uuid, -- no reference: it outlives what it tells of
    object      text NOT NULL DEFAULT '',
    object_name text NOT NULL DEFAULT '',
    result      text NOT NULL CHECK (result IN ('done', 'refused')),
    detail      text NOT NULL DEFAULT '',
    revision    bigint NOT NULL DEFAULT 0,
    hash        bytea NOT NULL
);
ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY added ON audit_log FOR INSERT WITH CHECK (true); -- of what belongs to no organization as well
CREATE INDEX audit_log_by_organization ON audit_log (org_id, seq);

CREATE TABLE audit_head (
    id   boolean PRIMARY KEY DEFAULT true CHECK (id),
    seq  bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    at   timestamptz NOT NULL
);
INSERT INTO audit_head (seq, hash, at) VALUES (0, decode(repeat('00', 32), 'hex'), now());

-- Heads that were signed; copies of them are kept elsewhere.
CREATE TABLE audit_anchors (
    seq       bigint PRIMARY KEY,
    hash      bytea NOT NULL CHECK (length(hash) = 32),
    at        timestamptz NOT NULL, -- of the head
    signature bytea NOT NULL
);

-- Package audit computes the same.
-- +goose StatementBegin
CREATE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE f text; b bytea;
BEGIN
    UPDATE audit_head SET seq = seq + 1 RETURNING seq, hash INTO NEW.seq, b;
    NEW.at := clock_timestamp();
    FOREACH f IN ARRAY ARRAY[NEW.seq::text, (extract(epoch FROM NEW.at) * 1000000)::bigint::text, NEW.actor, NEW.actor_name, NEW.credential, NEW.address,
                             NEW.action, coalesce(NEW.org_id::text, ''), NEW.object, NEW.object_name, NEW.result, NEW.detail, NEW.revision::text] LOOP
        b := b || int4send(octet_length(convert_to(f, 'UTF8'))) || convert_to(f, 'UTF8');
    END LOOP;
    NEW.hash := sha256(b);
    UPDATE audit_head SET hash = NEW.hash, at = NEW.at;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER audit_chain BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_chain();

-- +goose StatementBegin
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is only added to', TG_TABLE_NAME USING ERRCODE = 'WR002';
END $$;
-- +goose StatementEnd
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_log FOR EACH STATEMENT EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_anchors FOR EACH ROW EXECUTE FUNCTION append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON audit_anchors FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- Every table with the column org_id gets the wall, those of later migrations as well: this is called whenever a
-- program has brought the schema up to date.
-- +goose StatementBegin
CREATE FUNCTION raise_walls() RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE t regclass;
BEGIN
    PERFORM pg_advisory_xact_lock(7310009); -- replicas start at once
    FOR t IN SELECT r.oid FROM pg_class r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attname = 'org_id' AND NOT a.attisdropped
              WHERE r.relnamespace = current_schema()::regnamespace AND r.relkind = 'r' AND NOT r.relforcerowsecurity LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY seen ON %s USING ((SELECT seen_organizations()) IS NULL OR org_id = ANY ((SELECT seen_organizations())::uuid[]))', t);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'warren_caller')
        AND EXISTS (SELECT FROM pg_class r WHERE r.relnamespace = current_schema()::regnamespace AND r.relkind = 'r' AND NOT has_table_privilege('warren_caller', r.oid, 'INSERT')) THEN
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I TO warren_caller', current_schema());
        IF NOT has_schema_privilege('warren_caller', current_schema(), 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO warren_caller', current_schema());
        END IF;
    END IF;
END $$;
-- +goose StatementEnd
SELECT raise_walls();

-- +goose Down
-- The functions that compare organizations stay: without walls they do what they did.
DROP FUNCTION raise_walls;
DROP TABLE audit_anchors, audit_head, audit_log;
DROP FUNCTION audit_chain, append_only;
-- +goose StatementBegin
DO $$
DECLARE t regclass; p name;
BEGIN
    FOR t, p IN SELECT polrelid::regclass, polname FROM pg_policy WHERE polname IN ('seen', 'known', 'locked') LOOP
        EXECUTE format('DROP POLICY %I ON %s', p, t);
        EXECUTE format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', t);
    END LOOP;
END $$;
-- +goose StatementEnd
DROP FUNCTION seen_organizations, seen_user;
