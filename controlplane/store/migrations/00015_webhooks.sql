-- +goose Up

-- Receivers of events. None of this is configuration of nodes.
CREATE TABLE webhooks (
    id            uuid PRIMARY KEY,
    org_id        uuid CONSTRAINT webhooks_organization REFERENCES organizations ON DELETE CASCADE, -- null: the cluster's, which hears of all
    name          label NOT NULL,
    url           text NOT NULL CHECK (url ~ '^https?://[^[:space:]/]+(/[^[:space:]]*)?' AND length(url) <= 2048),
    events        text[] NOT NULL DEFAULT '{}' CHECK (coalesce(array_ndims(events), 1) = 1 AND array_position(events, NULL) IS NULL), -- none: all
    sealed_secret bytea NOT NULL,
    enabled       boolean NOT NULL DEFAULT true,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhooks_name UNIQUE NULLS NOT DISTINCT (org_id, name)
);

CREATE TRIGGER sealed BEFORE INSERT OR UPDATE OF sealed_secret ON webhooks FOR EACH ROW EXECUTE FUNCTION sealed_with_data_key('sealed_secret');

-- What has happened. The row keeps it from happening a second time: whoever comes later with the same finds it.
CREATE TABLE events (
    id     uuid PRIMARY KEY,
    type   text NOT NULL CHECK (type ~ '^[a-z_]+(\.[a-z_]+)+$'),
    org_id uuid CONSTRAINT events_organization REFERENCES organizations ON DELETE CASCADE,
    object text NOT NULL,
    once   text NOT NULL,
    data   jsonb NOT NULL CHECK (jsonb_typeof(data) = 'object'),
    at     timestamptz NOT NULL CHECK (isfinite(at)),
    CONSTRAINT events_once UNIQUE (type, once)
);
CREATE INDEX events_by_time ON events (at);

-- What a receiver is still to be told. A job of the queue stands for each row.
CREATE TABLE webhook_deliveries (
    webhook_id uuid NOT NULL CONSTRAINT webhook_deliveries_webhook REFERENCES webhooks ON DELETE CASCADE,
    event_id   uuid NOT NULL CONSTRAINT webhook_deliveries_event REFERENCES events ON DELETE CASCADE,
    PRIMARY KEY (webhook_id, event_id)
);
CREATE INDEX webhook_deliveries_by_event ON webhook_deliveries (event_id);

-- What came of telling it.
CREATE TABLE webhook_attempts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id uuid NOT NULL CONSTRAINT webhook_attempts_webhook REFERENCES webhooks ON DELETE CASCADE,
    event_id   uuid NOT NULL CONSTRAINT webhook_attempts_event REFERENCES events ON DELETE CASCADE,
    number     integer NOT NULL,
    at         timestamptz NOT NULL,
    took_ms    bigint NOT NULL,
    status     integer NOT NULL DEFAULT 0, -- of the answer; 0: there was none
    problem    text NOT NULL DEFAULT '', -- '': it was taken
    answer     text NOT NULL DEFAULT '' -- how it begins
);
CREATE INDEX webhook_attempts_by_webhook ON webhook_attempts (webhook_id, id);
CREATE INDEX webhook_attempts_by_event ON webhook_attempts (event_id);

-- +goose Down
DROP TABLE webhook_attempts, webhook_deliveries, events, webhooks;
