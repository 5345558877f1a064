-- +goose Up

-- Names are DNS labels, so that they can stand in hostnames, URLs and files.
CREATE DOMAIN label AS text CHECK (VALUE ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$');
-- Canonical hostnames; shared/hostname says the rest. A last label of digits would be an IPv4 address to many.
CREATE DOMAIN apex AS text CHECK (VALUE ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' AND VALUE !~ '(^|\.)[0-9]+$' AND length(VALUE) <= 253);
-- The same, or a wildcard in place of the first label.
CREATE DOMAIN hostname AS text CHECK (VALUE ~ '^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' AND VALUE !~ '(^|\.)[0-9]+$' AND length(VALUE) <= 253);

CREATE TABLE settings (
    id         boolean PRIMARY KEY DEFAULT true CHECK (id),
    cluster_id uuid NOT NULL
);

CREATE TABLE authorities (
    kind       text PRIMARY KEY CHECK (kind IN ('identity', 'web')),
    cert_pem   bytea NOT NULL,
    sealed_key bytea NOT NULL
);

CREATE TABLE organizations (
    id         uuid PRIMARY KEY,
    name       label NOT NULL CONSTRAINT organizations_name UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    id         uuid PRIMARY KEY,
    org_id     uuid CONSTRAINT api_keys_organization REFERENCES organizations ON DELETE CASCADE, -- null: the whole cluster
    name       label NOT NULL,
    hash       bytea NOT NULL CONSTRAINT api_keys_hash UNIQUE CHECK (length(hash) = 32),
    expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT api_keys_name UNIQUE NULLS NOT DISTINCT (org_id, name)
);

CREATE TABLE regions (
    id         uuid PRIMARY KEY,
    name       label NOT NULL CONSTRAINT regions_name UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE pools (
    id         uuid PRIMARY KEY,
    name       label NOT NULL CONSTRAINT pools_name UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE nodes (
    id                   uuid PRIMARY KEY,
    name                 label NOT NULL CONSTRAINT nodes_name UNIQUE CHECK (length(name) <= 60), -- ns-<name> is a label too
    pool_id              uuid NOT NULL CONSTRAINT nodes_pool REFERENCES pools,
    region_id            uuid CONSTRAINT nodes_region REFERENCES regions,
    addresses            inet[] NOT NULL DEFAULT '{}' -- hosts, not networks: what a replica can't read would stop its feed
        CHECK (coalesce(array_ndims(addresses), 1) = 1 AND array_position(addresses, NULL) IS NULL AND array_to_string(addresses, ' ') !~ '/'),
    wireguard_public_key bytea CONSTRAINT nodes_wireguard_key UNIQUE CHECK (length(wireguard_public_key) = 32), -- null: not yet joined
    wireguard_endpoint   text NOT NULL DEFAULT '' -- '' or address:port
        CHECK (wireguard_endpoint ~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]):[0-9]{1,5})?$'),
    lifecycle            text NOT NULL DEFAULT 'active' CHECK (lifecycle IN ('active', 'draining')),
    revoked_at           timestamptz CHECK (isfinite(revoked_at)),
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX nodes_by_pool ON nodes (pool_id);

CREATE TABLE sites (
    id         uuid PRIMARY KEY,
    org_id     uuid NOT NULL CONSTRAINT sites_organization REFERENCES organizations,
    name       label NOT NULL,
    pool_id    uuid NOT NULL CONSTRAINT sites_pool REFERENCES pools,
    tunnels    integer NOT NULL DEFAULT 2 CHECK (tunnels BETWEEN 1 AND 8),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sites_name UNIQUE (org_id, name),
    UNIQUE (org_id, id)
);

CREATE TABLE connectors (
    id                   uuid PRIMARY KEY,
    org_id               uuid NOT NULL,
    site_id              uuid NOT NULL,
    name                 label NOT NULL,
    wireguard_public_key bytea CONSTRAINT connectors_wireguard_key UNIQUE CHECK (length(wireguard_public_key) = 32),
    revoked_at           timestamptz CHECK (isfinite(revoked_at)),
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT connectors_name UNIQUE (org_id, name),
    CONSTRAINT connectors_site FOREIGN KEY (org_id, site_id) REFERENCES sites (org_id, id)
);
CREATE INDEX connectors_by_site ON connectors (site_id);

CREATE TABLE domains (
    id         uuid PRIMARY KEY,
    org_id     uuid NOT NULL CONSTRAINT domains_organization REFERENCES organizations,
    name       apex NOT NULL CONSTRAINT domains_name UNIQUE,
    pool_id    uuid NOT NULL CONSTRAINT domains_pool REFERENCES pools,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE services (
    id         uuid PRIMARY KEY,
    org_id     uuid NOT NULL CONSTRAINT services_organization REFERENCES organizations,
    name       label NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('http', 'tls')),
    hostname   hostname NOT NULL CONSTRAINT services_hostname UNIQUE,
    pool_id    uuid NOT NULL CONSTRAINT services_pool REFERENCES pools,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT services_name UNIQUE (org_id, name),
    UNIQUE (org_id, id)
);

CREATE TABLE targets (
    id          uuid PRIMARY KEY,
    org_id      uuid NOT NULL,
    service_id  uuid NOT NULL,
    site_id     uuid NOT NULL,
    name        label NOT NULL,
    address     text NOT NULL -- IPv4, IPv6 or a canonical hostname
        CHECK (length(address) <= 253 AND (address ~ '^[0-9]{1,3}(\.[0-9]{1,3}){3}$' OR address ~ '^[0-9a-f:.]*:[0-9a-f:.]*$' OR
               address ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' AND address !~ '(^|\.)[0-9]+$')),
    port        integer NOT NULL CHECK (port BETWEEN 1 AND 65535),
    path_prefix text NOT NULL DEFAULT '/'
        CHECK (path_prefix ~ '^(/|(/[^/?#[:space:][:cntrl:]]+)+)$' AND path_prefix !~ '/\.\.?(/|$)' AND length(path_prefix) <= 1024),
    weight      integer NOT NULL DEFAULT 100 CHECK (weight BETWEEN 1 AND 1000),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT targets_name UNIQUE (org_id, name),
    CONSTRAINT targets_service FOREIGN KEY (org_id, service_id) REFERENCES services (org_id, id) ON DELETE CASCADE,
    CONSTRAINT targets_site FOREIGN KEY (org_id, site_id) REFERENCES sites (org_id, id)
);
CREATE INDEX targets_by_service ON targets (service_id);
CREATE INDEX targets_by_site ON targets (site_id);

CREATE TABLE certificates (
    id         uuid PRIMARY KEY,
    org_id     uuid NOT NULL CONSTRAINT certificates_organization REFERENCES organizations,
    names      text[] NOT NULL -- of type hostname each
        CHECK (cardinality(names) > 0 AND array_ndims(names) = 1 AND string_to_array(array_to_string(names, ' '), ' ') = names AND
               array_to_string(names, ' ') ~ '^((^| )(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$'),
    chain_pem  bytea NOT NULL,
    sealed_key bytea NOT NULL,
    not_before timestamptz NOT NULL CHECK (isfinite(not_before)),
    not_after  timestamptz NOT NULL CHECK (isfinite(not_after)),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX certificates_by_name ON certificates USING gin (names);

CREATE TABLE join_tokens (
    id           uuid PRIMARY KEY,
    node_id      uuid CONSTRAINT join_tokens_node REFERENCES nodes ON DELETE CASCADE,
    connector_id uuid CONSTRAINT join_tokens_connector REFERENCES connectors ON DELETE CASCADE,
    name         label NOT NULL,
    hash         bytea NOT NULL CONSTRAINT join_tokens_hash UNIQUE CHECK (length(hash) = 32),
    expires_at   timestamptz NOT NULL,
    used_at      timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT join_tokens_subject_check CHECK (num_nonnulls(node_id, connector_id) = 1)
);

-- A domain must not be within, or contain, a domain of another organization: a tenant can't take names from
-- under another. The lock makes two that are created at once see each other.
-- +goose StatementBegin
CREATE FUNCTION domains_apart() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE other text;
BEGIN
    PERFORM pg_advisory_xact_lock(7310001);
    SELECT d.name INTO other FROM domains d
     WHERE d.org_id <> NEW.org_id AND d.id <> NEW.id
       AND (right('.' || NEW.name, length(d.name) + 1) = '.' || d.name OR right('.' || d.name, length(NEW.name) + 1) = '.' || NEW.name)
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'domain overlaps one of another organization'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'domains_apart', TABLE = 'domains';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER domains_apart BEFORE INSERT OR UPDATE OF name, org_id ON domains FOR EACH ROW EXECUTE FUNCTION domains_apart();

-- +goose Down
DROP TABLE join_tokens, certificates, targets, services, domains, connectors, sites, nodes, pools, regions, api_keys, organizations, authorities, settings;
DROP FUNCTION domains_apart;
DROP DOMAIN label, apex, hostname;
