-- +goose Up

-- Authorities that certificates are ordered from (RFC 8555). "internal" stands for the cluster's own, which signs
-- at once: it has no directory, no account and no budget.
CREATE TABLE issuers (
    id                 uuid PRIMARY KEY,
    name               label NOT NULL CONSTRAINT issuers_name UNIQUE,
    directory_url      text NOT NULL DEFAULT '' CHECK (directory_url = '' OR directory_url ~ '^https://[^[:space:]/]+(/[^[:space:]]*)?$'),
    contacts           text[] NOT NULL DEFAULT '{}' CHECK (coalesce(array_ndims(contacts), 1) = 1 AND array_position(contacts, NULL) IS NULL),
    eab_key_id         text NOT NULL DEFAULT '', -- external account binding, §7.3.4
    sealed_eab_key     bytea CONSTRAINT issuers_eab_key_check CHECK ((sealed_eab_key IS NULL) = (eab_key_id = '')),
    roots_pem          bytea, -- null: the system's
    rank               integer NOT NULL DEFAULT 100 CHECK (rank BETWEEN 0 AND 1000), -- the lowest is asked first
    profiles           jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(profiles) = 'object'), -- our word -> the authority's
    caa_identities     text[] NOT NULL DEFAULT '{}' CHECK (coalesce(array_ndims(caa_identities), 1) = 1 AND array_position(caa_identities, NULL) IS NULL),
    limits             jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(limits) = 'object'),
    account_url        text NOT NULL DEFAULT '',
    sealed_account_key bytea,
    sealed_pending_key bytea, -- of a rollover that has begun
    paused_until       timestamptz CHECK (isfinite(paused_until)), -- nothing is asked before
    failures           integer NOT NULL DEFAULT 0 CHECK (failures >= 0), -- in a row
    failing_since      timestamptz,
    last_problem       text NOT NULL DEFAULT '',
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT issuers_name_check CHECK ((directory_url = '') = (name = 'internal'))
);
INSERT INTO issuers (id, name, rank) VALUES ('00000000-0000-7000-8000-000000000001', 'internal', 1000);

-- A set of names that is kept in a certificate. There is always a next attempt.
CREATE TABLE managed_certificates (
    id             uuid PRIMARY KEY,
    org_id         uuid NOT NULL CONSTRAINT managed_certificates_organization REFERENCES organizations ON DELETE CASCADE,
    names          text[] NOT NULL -- of type hostname each, sorted
        CHECK (cardinality(names) > 0 AND array_ndims(names) = 1 AND string_to_array(array_to_string(names, ' '), ' ') = names AND
               array_to_string(names, ' ') ~ '^((^| )(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$'),
    key_type       text NOT NULL DEFAULT 'ecdsa' CHECK (key_type IN ('ecdsa', 'rsa')),
    profile        text NOT NULL DEFAULT '',
    issuer_id      uuid CONSTRAINT managed_certificates_issuer REFERENCES issuers, -- null: by rank
    wanted         boolean NOT NULL DEFAULT true, -- false: no service needs it any more
    certificate_id uuid, -- the newest; null: none yet
    renew_at       timestamptz CHECK (isfinite(renew_at)),
    ari_start      timestamptz CHECK (isfinite(ari_start)), -- RFC 9773: the window that the authority suggests
    ari_end        timestamptz CHECK (isfinite(ari_end)),
    ari_poll_at    timestamptz CHECK (isfinite(ari_poll_at)),
    next_attempt   timestamptz NOT NULL CHECK (isfinite(next_attempt)),
    ladder_step    integer NOT NULL DEFAULT 0 CHECK (ladder_step >= 0),
    last_problem   text NOT NULL DEFAULT '', -- in the authority's own words
    failing_since  timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT managed_certificates_names UNIQUE (org_id, names, key_type)
);
CREATE INDEX managed_certificates_by_attempt ON managed_certificates (next_attempt) WHERE wanted;
CREATE INDEX managed_certificates_by_ari ON managed_certificates (ari_poll_at) WHERE wanted;

-- One row is one order at an authority. Who carries it holds the lease, and writes only while fence is the number
-- that it got with it.
CREATE TABLE orders (
    id                 uuid PRIMARY KEY,
    org_id             uuid NOT NULL CONSTRAINT orders_organization REFERENCES organizations ON DELETE CASCADE,
    managed_id         uuid NOT NULL CONSTRAINT orders_managed_certificate REFERENCES managed_certificates ON DELETE CASCADE,
    issuer_id          uuid NOT NULL CONSTRAINT orders_issuer REFERENCES issuers,
    names              text[] NOT NULL,
    key_type           text NOT NULL,
    profile            text NOT NULL, -- the authority's word; '': it knows none
    renewal            boolean NOT NULL,
    replaces           text NOT NULL DEFAULT '', -- RFC 9773 §4.1
    certificate_id     uuid NOT NULL CONSTRAINT orders_certificate UNIQUE, -- of the row that will be; the key is sealed for it
    state              text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'ordered', 'challenges_written', 'nodes_acked', 'initiated',
                           'ready', 'finalized', 'downloaded', 'published', 'acked', 'failed')),
    intent_at          timestamptz, -- newOrder may have been sent since: what it made is looked for before it is sent again
    url                text NOT NULL DEFAULT '',
    csr                bytea,
    sealed_key         bytea,
    chain_pem          bytea,
    challenge_revision bigint NOT NULL DEFAULT 0,
    publish_revision   bigint NOT NULL DEFAULT 0,
    attempts           integer NOT NULL DEFAULT 0, -- in this state
    class              text NOT NULL DEFAULT '',
    problem            text NOT NULL DEFAULT '',
    next_attempt       timestamptz NOT NULL CHECK (isfinite(next_attempt)),
    lease_holder       text NOT NULL DEFAULT '',
    lease_until        timestamptz,
    fence              bigint NOT NULL DEFAULT 0,
    finished_at        timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT orders_sealed_key_check CHECK ((csr IS NULL) = (sealed_key IS NULL)),
    CONSTRAINT orders_finished_check CHECK ((finished_at IS NULL) = (state NOT IN ('acked', 'failed')))
);
-- Single flight: an account and a set of names have one order under way.
CREATE UNIQUE INDEX orders_in_flight ON orders (issuer_id, names) WHERE finished_at IS NULL;
CREATE UNIQUE INDEX orders_url ON orders (url) WHERE url <> '';
CREATE INDEX orders_by_attempt ON orders (next_attempt) WHERE finished_at IS NULL;
CREATE INDEX orders_by_managed ON orders (managed_id, created_at);

CREATE TABLE order_events (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id uuid NOT NULL CONSTRAINT order_events_order REFERENCES orders ON DELETE CASCADE,
    at       timestamptz NOT NULL,
    state    text NOT NULL,
    what     text NOT NULL,
    problem  text NOT NULL DEFAULT ''
);
CREATE INDEX order_events_by_order ON order_events (order_id, id);

-- What an account may still ask of its authority. A bucket that is not there is full.
CREATE TABLE budgets (
    issuer_id  uuid NOT NULL CONSTRAINT budgets_issuer REFERENCES issuers ON DELETE CASCADE,
    kind       text NOT NULL CHECK (kind IN ('new_orders', 'domain', 'set', 'failed_validations')),
    key        text NOT NULL,
    tokens     double precision NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (issuer_id, kind, key)
);

ALTER TABLE certificates
    ADD COLUMN managed_id    uuid CONSTRAINT certificates_managed_certificate REFERENCES managed_certificates ON DELETE SET NULL,
    ADD COLUMN issuer_id     uuid CONSTRAINT certificates_issuer REFERENCES issuers, -- null: the cluster's own authority, or uploaded
    ADD COLUMN uploaded      boolean NOT NULL DEFAULT false CONSTRAINT certificates_uploaded_check CHECK (NOT uploaded OR issuer_id IS NULL AND managed_id IS NULL),
    ADD COLUMN superseded_by uuid CONSTRAINT certificates_superseded_by REFERENCES certificates ON DELETE SET NULL;
CREATE INDEX certificates_by_managed ON certificates (managed_id);
CREATE INDEX certificates_superseded ON certificates (superseded_by) WHERE superseded_by IS NOT NULL;

-- +goose Down
ALTER TABLE certificates
    DROP COLUMN superseded_by,
    DROP COLUMN uploaded,
    DROP COLUMN issuer_id,
    DROP COLUMN managed_id;
DROP TABLE budgets, order_events, orders, managed_certificates, issuers;
