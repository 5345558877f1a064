-- +goose Up

-- Services at ports. They have no hostname; it is '' rather than null, so that replicas of the release before
-- go on reading every row while they are replaced.
ALTER TABLE services
    DROP CONSTRAINT services_kind_check,
    ADD CONSTRAINT services_kind_check CHECK (kind IN ('http', 'tls', 'tcp', 'udp')),
    DROP CONSTRAINT services_hostname,
    ALTER COLUMN hostname TYPE text,
    ADD CONSTRAINT services_hostname_check
        CHECK (CASE WHEN kind IN ('tcp', 'udp') THEN hostname = '' ELSE hostname::hostname IS NOT NULL END),
    ADD COLUMN first_port     integer NOT NULL DEFAULT 0,
    ADD COLUMN last_port      integer NOT NULL DEFAULT 0,
    ADD COLUMN allow          cidr[] NOT NULL DEFAULT '{}'
        CHECK (coalesce(array_ndims(allow), 1) = 1 AND array_position(allow, NULL) IS NULL),
    ADD COLUMN proxy_protocol integer NOT NULL DEFAULT 0
        CONSTRAINT services_proxy_protocol_check CHECK (proxy_protocol = 0 OR kind IN ('tcp', 'tls') AND proxy_protocol IN (1, 2)),
    ADD COLUMN terminate      boolean NOT NULL DEFAULT false CONSTRAINT services_terminate_check CHECK (NOT terminate OR kind = 'tls'),
    ADD CONSTRAINT services_ports_check
        CHECK (CASE WHEN kind IN ('tcp', 'udp') THEN first_port >= 1 AND last_port BETWEEN first_port AND least(65535, first_port + 999)
                    ELSE first_port = 0 AND last_port = 0 END);
CREATE UNIQUE INDEX services_hostname ON services (hostname) WHERE hostname <> '';
CREATE INDEX services_by_port ON services (pool_id, kind, first_port) WHERE first_port > 0;

-- A port of a pool has one service for each protocol. An exclusion constraint would need an extension; the lock
-- makes two services that are written at once see each other.
-- +goose StatementBegin
CREATE FUNCTION services_ports_apart() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7310004);
    PERFORM 1 FROM services s
      WHERE s.pool_id = NEW.pool_id AND s.kind = NEW.kind AND s.id <> NEW.id
        AND s.first_port BETWEEN NEW.first_port - 999 AND NEW.last_port AND s.last_port >= NEW.first_port;
    IF FOUND THEN
        RAISE EXCEPTION 'ports overlap those of another service'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'services_ports', TABLE = 'services';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER services_ports_apart BEFORE INSERT OR UPDATE OF kind, pool_id, first_port, last_port ON services
    FOR EACH ROW WHEN (NEW.first_port > 0) EXECUTE FUNCTION services_ports_apart();

-- One document and not columns: it is there or not, is read and written as a whole, and no query looks inside.
ALTER TABLE targets ADD COLUMN health_check jsonb CHECK (jsonb_typeof(health_check) = 'object');

-- +goose Down
ALTER TABLE targets DROP COLUMN health_check;
DROP TRIGGER services_ports_apart ON services;
DROP FUNCTION services_ports_apart;
DELETE FROM services WHERE kind IN ('tcp', 'udp');
DROP INDEX services_hostname, services_by_port;
ALTER TABLE services
    DROP CONSTRAINT services_kind_check,
    DROP CONSTRAINT services_hostname_check,
    DROP CONSTRAINT services_ports_check,
    DROP COLUMN first_port,
    DROP COLUMN last_port,
    DROP COLUMN allow,
    DROP COLUMN proxy_protocol,
    DROP COLUMN terminate,
    ADD CONSTRAINT services_kind_check CHECK (kind IN ('http', 'tls')),
    ALTER COLUMN hostname TYPE hostname,
    ADD CONSTRAINT services_hostname UNIQUE (hostname);
