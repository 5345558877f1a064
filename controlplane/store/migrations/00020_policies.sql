-- +goose Up

-- Who may reach services. Rules and ways to authenticate are one document and not rows: they are read and written as a
-- whole, their order is their meaning, and no query looks inside.
CREATE TABLE policies (
    id         uuid PRIMARY KEY,
    org_id     uuid NOT NULL CONSTRAINT policies_organization REFERENCES organizations,
    name       label NOT NULL,
    document   jsonb NOT NULL CHECK (jsonb_typeof(document) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT policies_name UNIQUE (org_id, name),
    UNIQUE (org_id, id)
);

-- Without ON DELETE: a policy in use stays. A service that lost its policy would be open to everybody.
ALTER TABLE services
    ADD COLUMN policy_id uuid,
    ADD CONSTRAINT services_policy FOREIGN KEY (org_id, policy_id) REFERENCES policies (org_id, id);
CREATE INDEX services_by_policy ON services (policy_id) WHERE policy_id IS NOT NULL;

-- Secrets that open what a policy guards. They are random, 256 bits: a hash is all that is kept.
CREATE TABLE share_links (
    id            uuid PRIMARY KEY,
    policy_id     uuid NOT NULL CONSTRAINT share_links_policy REFERENCES policies ON DELETE CASCADE,
    title         text NOT NULL DEFAULT '' CHECK (length(title) <= 255),
    secret_sha256 bytea NOT NULL CONSTRAINT share_links_secret UNIQUE CHECK (octet_length(secret_sha256) = 32),
    expires_at    timestamptz CHECK (isfinite(expires_at)),
    max_uses      integer NOT NULL DEFAULT 0 CHECK (max_uses >= 0), -- 0: any number
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX share_links_by_policy ON share_links (policy_id);

-- How often a link that has a limit was opened. A table of its own, and not in the feed: a use is no change of configuration.
CREATE TABLE share_link_uses (
    share_link_id uuid PRIMARY KEY REFERENCES share_links ON DELETE CASCADE,
    uses          integer NOT NULL DEFAULT 0
);

CREATE TABLE service_tokens (
    id            uuid PRIMARY KEY,
    policy_id     uuid NOT NULL CONSTRAINT service_tokens_policy REFERENCES policies ON DELETE CASCADE,
    name          label NOT NULL,
    secret_sha256 bytea NOT NULL CONSTRAINT service_tokens_secret UNIQUE CHECK (octet_length(secret_sha256) = 32),
    expires_at    timestamptz CHECK (isfinite(expires_at)),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT service_tokens_name UNIQUE (policy_id, name)
);

CREATE TRIGGER log_insert AFTER INSERT ON policies REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_update AFTER UPDATE ON policies REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_delete AFTER DELETE ON policies REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_truncate AFTER TRUNCATE ON policies FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');

-- What belongs to a policy is logged under the policy's key: readers take all of it together.
CREATE TRIGGER log_insert AFTER INSERT ON share_links REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('policy_id');
CREATE TRIGGER log_update AFTER UPDATE ON share_links REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('policy_id');
CREATE TRIGGER log_delete AFTER DELETE ON share_links REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('policy_id');
CREATE TRIGGER log_truncate AFTER TRUNCATE ON share_links FOR EACH STATEMENT EXECUTE FUNCTION log_changes('policy_id');
CREATE TRIGGER log_insert AFTER INSERT ON service_tokens REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('policy_id');
CREATE TRIGGER log_update AFTER UPDATE ON service_tokens REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('policy_id');
CREATE TRIGGER log_delete AFTER DELETE ON service_tokens REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('policy_id');
CREATE TRIGGER log_truncate AFTER TRUNCATE ON service_tokens FOR EACH STATEMENT EXECUTE FUNCTION log_changes('policy_id');

-- What belongs to a policy belongs to its organization: the second wall.
-- +goose StatementBegin
DO $$
DECLARE t text; cond text;
BEGIN
    FOR t, cond IN VALUES
        ('share_links', 'EXISTS (SELECT FROM policies p WHERE p.id = policy_id)'),
        ('service_tokens', 'EXISTS (SELECT FROM policies p WHERE p.id = policy_id)')
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY seen ON %I USING ((SELECT seen_organizations()) IS NULL OR %s)', t, cond);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE service_tokens, share_link_uses, share_links;
DROP INDEX services_by_policy;
ALTER TABLE services DROP CONSTRAINT services_policy, DROP COLUMN policy_id;
DROP TABLE policies;
