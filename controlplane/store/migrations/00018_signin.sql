-- +goose Up

-- What users sign in with. None of it is configuration of nodes: the feed does not follow it.
CREATE TABLE user_passwords (
    user_id    uuid PRIMARY KEY CONSTRAINT user_passwords_user REFERENCES users ON DELETE CASCADE,
    hash       text NOT NULL CHECK (hash LIKE '$argon2id$%' AND length(hash) <= 512), -- a PHC string
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE user_totps (
    user_id       uuid PRIMARY KEY CONSTRAINT user_totps_user REFERENCES users ON DELETE CASCADE,
    sealed_secret bytea NOT NULL,
    confirmed_at  timestamptz, -- null: nobody has shown yet that his app knows it
    last_step     bigint NOT NULL DEFAULT 0, -- of the code that was used last: it and those before are good no more
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER sealed BEFORE INSERT OR UPDATE OF sealed_secret ON user_totps FOR EACH ROW EXECUTE FUNCTION sealed_with_data_key('sealed_secret');

-- A code that was used is removed.
CREATE TABLE user_backup_codes (
    user_id uuid NOT NULL CONSTRAINT user_backup_codes_user REFERENCES users ON DELETE CASCADE,
    hash    bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (user_id, hash)
);

CREATE TABLE user_passkeys (
    id            uuid PRIMARY KEY,
    user_id       uuid NOT NULL CONSTRAINT user_passkeys_user REFERENCES users ON DELETE CASCADE,
    credential_id bytea NOT NULL CONSTRAINT user_passkeys_credential UNIQUE CHECK (length(credential_id) BETWEEN 1 AND 1023),
    name          text NOT NULL CHECK (length(name) BETWEEN 1 AND 100 AND name !~ '[[:cntrl:]]'),
    record        bytea NOT NULL, -- public key, counter, flags
    used_at       timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX user_passkeys_by_user ON user_passkeys (user_id);

-- What is under way: half a sign-in, a ceremony, a link that was mailed. Each is good once, for whoever knows the token.
CREATE TABLE signin_flows (
    hash       bytea PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256 of the token
    kind       text NOT NULL CHECK (kind IN ('setup', 'reset', 'second-factor', 'passkey', 'new-passkey', 'oidc')),
    user_id    uuid CONSTRAINT signin_flows_user REFERENCES users ON DELETE CASCADE, -- null: it is not known yet
    data       bytea NOT NULL DEFAULT '',
    attempts   integer NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL CHECK (isfinite(expires_at)),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX signin_flows_by_user ON signin_flows (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX signin_flows_by_expiry ON signin_flows (expires_at);

-- A command line that wants to act for a user (RFC 8628): the code that it keeps, and the one that the user types.
CREATE TABLE device_logins (
    id               uuid PRIMARY KEY,
    hash             bytea NOT NULL CONSTRAINT device_logins_hash UNIQUE CHECK (length(hash) = 32), -- SHA-256 of the device's code
    user_code        text NOT NULL CONSTRAINT device_logins_user_code UNIQUE CHECK (user_code ~ '^[B-DF-HJ-NP-TV-Z]{8}$'),
    client           text NOT NULL DEFAULT '' CHECK (length(client) <= 100 AND client !~ '[[:cntrl:]]'), -- as it calls itself
    address          inet,
    user_id          uuid CONSTRAINT device_logins_user REFERENCES users ON DELETE CASCADE, -- null: not approved
    amr              text[] NOT NULL DEFAULT '{}',
    second_factor_at timestamptz,
    denied           boolean NOT NULL DEFAULT false,
    polled_at        timestamptz,
    expires_at       timestamptz NOT NULL CHECK (isfinite(expires_at)),
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX device_logins_by_expiry ON device_logins (expires_at);

-- +goose Down
DROP TABLE device_logins, signin_flows, user_passkeys, user_backup_codes, user_totps, user_passwords;
