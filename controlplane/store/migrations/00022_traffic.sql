-- +goose Up

-- What became of requests, connections and flows, as nodes measured it. None of it is configuration: the feed does not follow
-- it, and it has no references, since it outlives what it tells of; names are those of then. A partition is a day, in UTC; the
-- program makes those to come and drops those that are over.
CREATE TABLE request_log (
    at            timestamptz NOT NULL, -- when it was over
    id            uuid NOT NULL, -- drawn by the node; what comes twice is one
    org_id        uuid NOT NULL,
    kind          text NOT NULL,
    service_id    uuid NOT NULL,
    service       text NOT NULL,
    node_id       uuid NOT NULL,
    node          text NOT NULL,
    site_id       uuid, -- null: no target was reached
    site          text NOT NULL,
    target_id     uuid,
    relay_id      uuid, -- the node that passed it on; null: none did
    client        inet,
    method        text NOT NULL,
    host          text NOT NULL,
    path          text NOT NULL,
    visitor       text NOT NULL, -- who had signed in
    status        integer NOT NULL, -- 0: it is not HTTP, or there was no answer
    bytes_in      bigint NOT NULL,
    bytes_out     bigint NOT NULL,
    decide_us     bigint NOT NULL,
    first_byte_us bigint NOT NULL,
    total_us      bigint NOT NULL,
    decision      text NOT NULL,
    reason        text NOT NULL,
    error         text NOT NULL,
    PRIMARY KEY (org_id, at, id)
) PARTITION BY RANGE (at);
CREATE INDEX request_log_by_service ON request_log (service_id, at);

-- How much there was of what, of each node, in windows of 15 seconds. Durations are counted in the buckets of package loglinear.
-- A site of zeros is none. unlogged: those of the requests that request_log does not have, because a node had no room.
CREATE TABLE traffic_15s (
    at         timestamptz NOT NULL,
    org_id     uuid NOT NULL,
    service_id uuid NOT NULL,
    site_id    uuid NOT NULL,
    node_id    uuid NOT NULL,
    process    bigint NOT NULL, -- of the node, drawn at random: what comes twice is one
    requests   bigint NOT NULL,
    statuses   bigint[] NOT NULL, -- without one, 1xx, 2xx, 3xx, 4xx, 5xx
    denied     bigint NOT NULL,
    failed     bigint NOT NULL,
    bytes_in   bigint NOT NULL,
    bytes_out  bigint NOT NULL,
    unlogged   bigint NOT NULL,
    buckets    integer[] NOT NULL,
    counts     bigint[] NOT NULL,
    stored_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, at, service_id, site_id, node_id, process)
) PARTITION BY RANGE (at);

-- The same of all nodes together, in five minutes, for longer.
CREATE TABLE traffic_5m (
    at         timestamptz NOT NULL,
    org_id     uuid NOT NULL,
    service_id uuid NOT NULL,
    site_id    uuid NOT NULL,
    requests   bigint NOT NULL,
    statuses   bigint[] NOT NULL,
    denied     bigint NOT NULL,
    failed     bigint NOT NULL,
    bytes_in   bigint NOT NULL,
    bytes_out  bigint NOT NULL,
    unlogged   bigint NOT NULL,
    buckets    integer[] NOT NULL,
    counts     bigint[] NOT NULL,
    PRIMARY KEY (org_id, at, service_id, site_id)
);
CREATE INDEX traffic_5m_by_age ON traffic_5m (at);

-- For how long an organization keeps its request log; no row: a week. 0: it has none.
CREATE TABLE request_log_settings (
    org_id     uuid PRIMARY KEY CONSTRAINT request_log_settings_organization REFERENCES organizations ON DELETE CASCADE,
    keep_days  integer NOT NULL CHECK (keep_days BETWEEN 0 AND 90),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- raise_walls sees tables, and so each partition; who asks asks their parents.
-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['request_log', 'traffic_15s'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY seen ON %I USING ((SELECT seen_organizations()) IS NULL OR org_id = ANY ((SELECT seen_organizations())::uuid[]))', t);
    END LOOP;
END $$;
-- +goose StatementEnd

CREATE INDEX events_by_organization ON events (org_id, at, id);

-- +goose Down
DROP INDEX events_by_organization;
DROP TABLE request_log_settings, traffic_5m, traffic_15s, request_log;
