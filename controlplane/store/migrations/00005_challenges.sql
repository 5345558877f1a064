-- +goose Up

-- What a certificate authority asks for to believe that a name is ours. Rows live for minutes: they reach the
-- nodes by the feed, like all configuration.
CREATE TABLE challenges (
    id         uuid PRIMARY KEY,
    org_id     uuid NOT NULL CONSTRAINT challenges_organization REFERENCES organizations ON DELETE CASCADE,
    order_id   uuid NOT NULL, -- no reference: an order may be gone before what it has published
    type       text NOT NULL CHECK (type IN ('dns-01', 'http-01', 'tls-alpn-01')),
    name       apex NOT NULL CONSTRAINT challenges_name_check CHECK (type <> 'dns-01' OR length(name) <= 237), -- _acme-challenge.<name> is a name too
    token      text NOT NULL CHECK (token ~ '^[A-Za-z0-9_-]{1,128}$'), -- RFC 8555 §8.3: base64url
    value      text NOT NULL -- a SHA-256 digest as base64url, with the token before it where the key authorization is asked for
        CONSTRAINT challenges_value_check CHECK (CASE type WHEN 'http-01' THEN left(value, length(token) + 1) = token || '.' AND substr(value, length(token) + 2) ~ '^[A-Za-z0-9_-]{43}$'
                         ELSE value ~ '^[A-Za-z0-9_-]{43}$' END),
    expires_at timestamptz NOT NULL CHECK (isfinite(expires_at)),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX challenges_by_order ON challenges (order_id);
CREATE INDEX challenges_by_expiry ON challenges (expires_at);

-- Whoever publishes a challenge gets a certificate for its name: the name must stand in a domain of the same
-- organization, whoever writes. No domain of another one can be above or below that (domains_apart).
-- +goose StatementBegin
CREATE FUNCTION challenges_owned() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM 1 FROM domains d
      WHERE d.org_id = NEW.org_id AND d.name = ANY (
            SELECT array_to_string(labels[i:], '.') FROM (SELECT string_to_array(NEW.name, '.') AS labels) s, generate_subscripts(labels, 1) i);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'name is in no domain of the organization'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'challenges_owned', TABLE = 'challenges';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER challenges_owned BEFORE INSERT OR UPDATE OF org_id, name ON challenges FOR EACH ROW EXECUTE FUNCTION challenges_owned();

CREATE TRIGGER log_insert AFTER INSERT ON challenges REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_update AFTER UPDATE ON challenges REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_delete AFTER DELETE ON challenges REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_truncate AFTER TRUNCATE ON challenges FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');

-- +goose Down
DROP TABLE challenges;
DROP FUNCTION challenges_owned;
