-- +goose Up

-- Who may run the cluster. None of it is configuration of nodes: the feed does not follow it.
CREATE TABLE roles (
    id          uuid PRIMARY KEY,
    org_id      uuid CONSTRAINT roles_organization REFERENCES organizations ON DELETE CASCADE, -- null: of the cluster, or built in
    name        label NOT NULL,
    scope       text NOT NULL CHECK (scope IN ('organization', 'cluster')), -- where it may be given
    builtin     boolean NOT NULL DEFAULT false, -- what it permits is written in the program
    permissions text[] NOT NULL DEFAULT '{}' CHECK (coalesce(array_ndims(permissions), 1) = 1 AND array_position(permissions, NULL) IS NULL),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT roles_name UNIQUE NULLS NOT DISTINCT (org_id, name),
    CONSTRAINT roles_given_check CHECK (builtin AND org_id IS NULL OR NOT builtin AND (scope = 'organization') = (org_id IS NOT NULL))
);
INSERT INTO roles (id, name, scope, builtin) VALUES
    ('00000000-0000-7000-8000-000000000011', 'owner', 'organization', true),
    ('00000000-0000-7000-8000-000000000012', 'admin', 'organization', true),
    ('00000000-0000-7000-8000-000000000013', 'member', 'organization', true),
    ('00000000-0000-7000-8000-000000000014', 'viewer', 'organization', true),
    ('00000000-0000-7000-8000-000000000021', 'cluster-admin', 'cluster', true),
    ('00000000-0000-7000-8000-000000000022', 'cluster-viewer', 'cluster', true);

CREATE TABLE users (
    id              uuid PRIMARY KEY,
    email           text NOT NULL CONSTRAINT users_email UNIQUE -- in the one form that model.CanonicalEmail gives it
        CHECK (length(email) <= 254 AND email ~ '^[a-z0-9.!#$%&''*+/=?^_`{|}~-]{1,64}@([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    name            text NOT NULL DEFAULT '' CHECK (length(name) <= 100 AND name !~ '[[:cntrl:]]'),
    cluster_role_id uuid CONSTRAINT users_cluster_role REFERENCES roles,
    disabled_at     timestamptz CHECK (isfinite(disabled_at)),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX users_by_cluster_role ON users (cluster_role_id) WHERE cluster_role_id IS NOT NULL;

CREATE TABLE memberships (
    org_id     uuid NOT NULL CONSTRAINT memberships_organization REFERENCES organizations ON DELETE CASCADE,
    user_id    uuid NOT NULL CONSTRAINT memberships_user REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id);

CREATE TABLE membership_roles (
    org_id  uuid NOT NULL,
    user_id uuid NOT NULL,
    role_id uuid NOT NULL CONSTRAINT membership_roles_role REFERENCES roles,
    PRIMARY KEY (org_id, user_id, role_id),
    CONSTRAINT membership_roles_membership FOREIGN KEY (org_id, user_id) REFERENCES memberships (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX membership_roles_by_role ON membership_roles (role_id);

-- "group" is a word of SQL, so that the tables are named for what they hold.
CREATE TABLE user_groups (
    id         uuid PRIMARY KEY,
    org_id     uuid NOT NULL CONSTRAINT user_groups_organization REFERENCES organizations ON DELETE CASCADE,
    name       label NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_groups_name UNIQUE (org_id, name),
    UNIQUE (org_id, id)
);

CREATE TABLE user_group_members (
    org_id   uuid NOT NULL,
    group_id uuid NOT NULL,
    user_id  uuid NOT NULL,
    PRIMARY KEY (group_id, user_id),
    CONSTRAINT user_group_members_group FOREIGN KEY (org_id, group_id) REFERENCES user_groups (org_id, id) ON DELETE CASCADE,
    -- Who leaves an organization leaves its groups.
    CONSTRAINT user_group_members_user FOREIGN KEY (org_id, user_id) REFERENCES memberships (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX user_group_members_by_user ON user_group_members (org_id, user_id);

-- A row is one browser or command line that is signed in; ending it is removing the row.
CREATE TABLE user_sessions (
    id               uuid PRIMARY KEY,
    user_id          uuid NOT NULL CONSTRAINT user_sessions_user REFERENCES users ON DELETE CASCADE,
    hash             bytea NOT NULL CONSTRAINT user_sessions_hash UNIQUE CHECK (length(hash) = 32), -- SHA-256 of the token
    address          inet,
    user_agent       text NOT NULL DEFAULT '' CHECK (length(user_agent) <= 512),
    amr              text[] NOT NULL DEFAULT '{}' -- how the user signed in (RFC 8176)
        CHECK (coalesce(array_ndims(amr), 1) = 1 AND array_position(amr, NULL) IS NULL),
    second_factor_at timestamptz,
    seen_at          timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL CHECK (isfinite(expires_at)), -- whatever happens
    created_at       timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX user_sessions_by_user ON user_sessions (user_id);
CREATE INDEX user_sessions_by_expiry ON user_sessions (expires_at);

CREATE TABLE service_accounts (
    id          uuid PRIMARY KEY,
    org_id      uuid NOT NULL CONSTRAINT service_accounts_organization REFERENCES organizations ON DELETE CASCADE,
    name        label NOT NULL,
    disabled_at timestamptz CHECK (isfinite(disabled_at)),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT service_accounts_name UNIQUE (org_id, name),
    UNIQUE (org_id, id)
);

CREATE TABLE service_account_roles (
    org_id             uuid NOT NULL,
    service_account_id uuid NOT NULL,
    role_id            uuid NOT NULL CONSTRAINT service_account_roles_role REFERENCES roles,
    PRIMARY KEY (service_account_id, role_id),
    CONSTRAINT service_account_roles_account FOREIGN KEY (org_id, service_account_id) REFERENCES service_accounts (org_id, id) ON DELETE CASCADE
);
CREATE INDEX service_account_roles_by_role ON service_account_roles (role_id);

-- Keys of the release before have no owner and no permissions: they go on being able to do what they could.
ALTER TABLE api_keys
    ADD COLUMN user_id            uuid CONSTRAINT api_keys_user REFERENCES users ON DELETE CASCADE,
    ADD COLUMN service_account_id uuid,
    ADD COLUMN permissions        text[] -- null: all that its owner may; of a key without owner see access.Unscoped
        CHECK (coalesce(array_ndims(permissions), 1) = 1 AND array_position(permissions, NULL) IS NULL),
    ADD COLUMN allow              cidr[] NOT NULL DEFAULT '{}' -- from where it is good; empty: from everywhere
        CHECK (coalesce(array_ndims(allow), 1) = 1 AND array_position(allow, NULL) IS NULL),
    ADD COLUMN used_at            timestamptz,
    ADD COLUMN used_from          inet,
    ADD CONSTRAINT api_keys_service_account FOREIGN KEY (org_id, service_account_id) REFERENCES service_accounts (org_id, id) ON DELETE CASCADE,
    ADD CONSTRAINT api_keys_owner_check CHECK (num_nonnulls(user_id, service_account_id) <= 1 AND (service_account_id IS NULL OR org_id IS NOT NULL)),
    DROP CONSTRAINT api_keys_name,
    ADD CONSTRAINT api_keys_name UNIQUE NULLS NOT DISTINCT (org_id, user_id, service_account_id, name);
CREATE INDEX api_keys_by_user ON api_keys (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX api_keys_by_service_account ON api_keys (service_account_id) WHERE service_account_id IS NOT NULL;

-- +goose Down
DELETE FROM api_keys WHERE num_nonnulls(user_id, service_account_id, permissions) > 0 OR cardinality(allow) > 0; -- they would be able to do more
ALTER TABLE api_keys
    DROP CONSTRAINT api_keys_name,
    DROP COLUMN user_id,
    DROP COLUMN service_account_id,
    DROP COLUMN permissions,
    DROP COLUMN allow,
    DROP COLUMN used_at,
    DROP COLUMN used_from,
    ADD CONSTRAINT api_keys_name UNIQUE NULLS NOT DISTINCT (org_id, name);
DROP TABLE service_account_roles, service_accounts, user_sessions, user_group_members, user_groups, membership_roles, memberships, users, roles;
