-- +goose Up

-- What somebody has taken from a user although a provider's rules give it: they give it no more until somebody gives it again,
-- or the rules do not give it any more.
CREATE TABLE refused_claims (
    user_id     uuid NOT NULL CONSTRAINT refused_claims_user REFERENCES users ON DELETE CASCADE,
    provider_id uuid NOT NULL CONSTRAINT refused_claims_provider REFERENCES identity_providers ON DELETE CASCADE,
    org_id      uuid CONSTRAINT refused_claims_organization REFERENCES organizations ON DELETE CASCADE, -- null: in the cluster
    role_id     uuid CONSTRAINT refused_claims_role REFERENCES roles ON DELETE CASCADE, -- null: whatever the rules give there
    CONSTRAINT refused_claims_once UNIQUE NULLS NOT DISTINCT (user_id, provider_id, org_id, role_id)
);
CREATE INDEX refused_claims_by_provider ON refused_claims (provider_id);
CREATE INDEX refused_claims_by_org ON refused_claims (org_id);
CREATE INDEX refused_claims_by_role ON refused_claims (role_id);

-- Who manages an organization does not see at which providers its members have an account: these are looked up here.
-- +goose StatementBegin
CREATE FUNCTION refuse_claims(of_user uuid, of_org uuid, of_roles uuid[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE seen text := coalesce(current_setting('warren.organizations', true), '');
BEGIN
    PERFORM set_config('warren.organizations', '', true);
    INSERT INTO refused_claims (user_id, provider_id, org_id, role_id)
    SELECT DISTINCT i.user_id, i.provider_id, of_org, r.id FROM user_identities i, unnest(of_roles) AS r (id) WHERE i.user_id = of_user
    ON CONFLICT DO NOTHING;
    PERFORM set_config('warren.organizations', seen, true);
END $$;
-- +goose StatementEnd

-- What users sign in with, and what is under way, is theirs alone: who calls for an organization meets none of it.
-- +goose StatementBegin
DO $$
DECLARE t text; cond text;
BEGIN
    FOR t, cond IN VALUES
        ('user_passwords', 'user_id = (SELECT seen_user())'),
        ('user_totps', 'user_id = (SELECT seen_user())'),
        ('user_backup_codes', 'user_id = (SELECT seen_user())'),
        ('user_passkeys', 'user_id = (SELECT seen_user())'),
        ('user_identities', 'user_id = (SELECT seen_user())'),
        ('signin_flows', 'user_id = (SELECT seen_user())'),
        ('device_logins', 'user_id = (SELECT seen_user())'),
        ('access_codes', 'EXISTS (SELECT FROM user_sessions s WHERE s.id = session_id)'),
        ('access_mail_codes', 'false')
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY seen ON %I USING ((SELECT seen_organizations()) IS NULL OR %s)', t, cond);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['user_passwords', 'user_totps', 'user_backup_codes', 'user_passkeys', 'user_identities', 'signin_flows', 'device_logins', 'access_codes', 'access_mail_codes'] LOOP
        EXECUTE format('DROP POLICY seen ON %I', t);
        EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY', t);
    END LOOP;
END $$;
-- +goose StatementEnd
DROP FUNCTION refuse_claims;
DROP TABLE refused_claims;
