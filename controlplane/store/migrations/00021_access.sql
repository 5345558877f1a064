-- +goose Up

-- Under which URL browsers reach the control plane: nodes send them there to sign in. null: nowhere, nobody can.
ALTER TABLE settings ADD COLUMN sign_in_url text CHECK (sign_in_url ~ '^https?://[^/?#]+$');
-- It is set when a cluster is there: by an update.
CREATE TRIGGER log_update AFTER UPDATE ON settings REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');

-- Keys that sign access tokens. Nodes know the public half of a key before something is signed with it.
CREATE TABLE access_keys (
    id         uuid PRIMARY KEY,
    state      text NOT NULL CHECK (state IN ('next', 'current', 'retired')),
    public_key bytea NOT NULL CHECK (length(public_key) = 32), -- Ed25519
    sealed_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX access_keys_state ON access_keys (state) WHERE state <> 'retired'; -- one at most of each
CREATE TRIGGER log_insert AFTER INSERT ON access_keys REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_update AFTER UPDATE ON access_keys REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_delete AFTER DELETE ON access_keys REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_truncate AFTER TRUNCATE ON access_keys FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER sealed BEFORE INSERT OR UPDATE OF sealed_key ON access_keys FOR EACH ROW EXECUTE FUNCTION sealed_with_data_key('sealed_key');

-- What nodes must not take for good any more, although it was signed. A row is needed as long as a token can be good.
CREATE TABLE access_revocations (
    id         uuid PRIMARY KEY,
    session    text NOT NULL CHECK (length(session) <= 320), -- '': of a subject
    subject    text NOT NULL CHECK (length(subject) <= 320), -- '': of a session
    before     timestamptz NOT NULL DEFAULT clock_timestamp() CHECK (isfinite(before)), -- of a subject: what was signed until then
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT access_revocations_what_check CHECK ((session = '') <> (subject = ''))
);
CREATE INDEX access_revocations_by_age ON access_revocations (before);
CREATE TRIGGER log_insert AFTER INSERT ON access_revocations REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_update AFTER UPDATE ON access_revocations REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_delete AFTER DELETE ON access_revocations REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_truncate AFTER TRUNCATE ON access_revocations FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');

-- What a browser takes from the control plane to a node, which gives it back for a token: once, within a minute. Not
-- configuration: the feed does not follow it.
CREATE TABLE access_codes (
    hash       bytea PRIMARY KEY CHECK (length(hash) = 32), -- SHA-256 of the code
    host       hostname NOT NULL,
    binding    text NOT NULL CHECK (length(binding) = 43), -- of the browser that is let in
    session_id uuid NOT NULL, -- the user's; of who was mailed a code: his own, which has no row
    mail       text CHECK (length(mail) <= 254),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX access_codes_by_age ON access_codes (created_at);

-- One-time codes that were mailed to who wants to visit a service.
CREATE TABLE access_mail_codes (
    id         uuid PRIMARY KEY,
    hash       bytea NOT NULL CHECK (length(hash) = 32), -- SHA-256 of id and code
    mail       text NOT NULL CHECK (length(mail) <= 254),
    host       hostname NOT NULL,
    binding    text NOT NULL CHECK (length(binding) = 43),
    tries      integer NOT NULL DEFAULT 0 CHECK (tries >= 0),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX access_mail_codes_by_age ON access_mail_codes (created_at);

-- +goose Down
DROP TABLE access_mail_codes, access_codes, access_revocations, access_keys;
DROP TRIGGER log_update ON settings;
ALTER TABLE settings DROP COLUMN sign_in_url;
