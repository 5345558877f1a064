-- +goose Up

-- What was found in the DNS about a domain: how its names can be proved to an authority. No configuration of nodes.
CREATE TABLE domain_findings (
    domain_id  uuid PRIMARY KEY CONSTRAINT domain_findings_domain REFERENCES domains ON DELETE CASCADE,
    delegated  boolean NOT NULL DEFAULT true, -- apex and wildcard can be proved by dns-01; true until the contrary is found
    asked      text[] NOT NULL DEFAULT '{}',  -- hostnames of services that were asked about, sorted
    provable   text[] NOT NULL DEFAULT '{}',  -- those of them that can be proved by themselves, sorted
    problem    text NOT NULL DEFAULT '',      -- why nothing could be found out the last time
    found_at   timestamptz,                   -- null: nothing was found out yet
    next_check timestamptz NOT NULL CHECK (isfinite(next_check))
);

-- An authority says itself under which domains it goes, and an operator may know better. How a rollover of the account's
-- key goes is no configuration of nodes.
ALTER TABLE issuers
    ADD COLUMN directory_caa     text[] NOT NULL DEFAULT '{}'
        CONSTRAINT issuers_directory_caa_check CHECK (coalesce(array_ndims(directory_caa), 1) = 1 AND array_position(directory_caa, NULL) IS NULL),
    ADD COLUMN directory_read_at timestamptz,
    ADD COLUMN rollover_next_at  timestamptz CHECK (isfinite(rollover_next_at)), -- nobody carries the rollover on before
    ADD COLUMN rollover_problem  text NOT NULL DEFAULT '',
    ADD COLUMN rolled_over_at    timestamptz;
DROP TRIGGER log_update ON issuers;
CREATE TRIGGER log_update AFTER UPDATE ON issuers REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
    EXECUTE FUNCTION log_changes('id', 'account_url', 'sealed_account_key', 'sealed_pending_key', 'paused_until', 'failures', 'failing_since', 'last_problem',
        'directory_read_at', 'rollover_next_at', 'rollover_problem', 'rolled_over_at');

-- Issuers that a certificate is not ordered from for a while: id -> {until, why}.
ALTER TABLE managed_certificates ADD COLUMN held jsonb NOT NULL DEFAULT '{}' CONSTRAINT managed_certificates_held_check CHECK (jsonb_typeof(held) = 'object');

-- Nodes choose between certificates of several types of key. '': made before this was written down.
ALTER TABLE certificates ADD COLUMN key_type text NOT NULL DEFAULT '' CONSTRAINT certificates_key_type_check CHECK (key_type IN ('', 'ecdsa', 'rsa'));

-- Certificates that authorities are to revoke (RFC 8555 §7.6). There are no references: certificate and organization may be gone
-- before the authority has heard of it.
CREATE TABLE revocations (
    certificate_id uuid PRIMARY KEY,
    org_id         uuid NOT NULL,
    managed_id     uuid NOT NULL, -- what it is replaced by is of this one
    issuer_id      uuid NOT NULL CONSTRAINT revocations_issuer REFERENCES issuers,
    leaf           bytea NOT NULL, -- DER
    reason         integer NOT NULL CHECK (reason IN (0, 1, 4, 5)), -- RFC 5280 §5.3.1
    not_after      timestamptz NOT NULL,
    next_attempt   timestamptz NOT NULL CHECK (isfinite(next_attempt)),
    attempts       integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    problem        text NOT NULL DEFAULT '', -- in the authority's own words
    revoked_at     timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX revocations_by_attempt ON revocations (next_attempt) WHERE revoked_at IS NULL;

-- Keys that others know: no certificate is served with them again, wherever it was made.
CREATE TABLE compromised_keys (
    spki_sha256 bytea PRIMARY KEY CHECK (octet_length(spki_sha256) = 32),
    created_at  timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE compromised_keys, revocations;
ALTER TABLE certificates DROP COLUMN key_type;
ALTER TABLE managed_certificates DROP COLUMN held;
DROP TRIGGER log_update ON issuers;
ALTER TABLE issuers
    DROP COLUMN rolled_over_at,
    DROP COLUMN rollover_problem,
    DROP COLUMN rollover_next_at,
    DROP COLUMN directory_read_at,
    DROP COLUMN directory_caa;
CREATE TRIGGER log_update AFTER UPDATE ON issuers REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT
    EXECUTE FUNCTION log_changes('id', 'account_url', 'sealed_account_key', 'sealed_pending_key', 'paused_until', 'failures', 'failing_since', 'last_problem');
DROP TABLE domain_findings;
