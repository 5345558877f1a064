-- +goose Up

-- Where else people sign in.
CREATE TABLE identity_providers (
    id                   uuid PRIMARY KEY,
    org_id               uuid CONSTRAINT identity_providers_organization REFERENCES organizations ON DELETE CASCADE, -- null: everybody's
    name                 label NOT NULL,
    title                text NOT NULL DEFAULT '' CHECK (length(title) <= 60 AND title !~ '[[:cntrl:]]'), -- on the button; '': the name
    issuer               text NOT NULL CHECK (issuer ~ '^https://[^[:space:]]+$' AND length(issuer) <= 1024),
    client_id            text NOT NULL CHECK (length(client_id) BETWEEN 1 AND 255),
    sealed_client_secret bytea,
    scopes               text[] NOT NULL DEFAULT '{}' CHECK (coalesce(array_ndims(scopes), 1) = 1 AND array_position(scopes, NULL) IS NULL),
    rules                jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(rules) = 'array'), -- which claim gives which role
    provision            boolean NOT NULL DEFAULT false, -- whether who is not known yet becomes a user
    created_at           timestamptz NOT NULL DEFAULT now(),
    updated_at           timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT identity_providers_name UNIQUE NULLS NOT DISTINCT (org_id, name)
);
CREATE TRIGGER sealed BEFORE INSERT OR UPDATE OF sealed_client_secret ON identity_providers FOR EACH ROW EXECUTE FUNCTION sealed_with_data_key('sealed_client_secret');

-- Who somebody is at a provider: its issuer with its subject, whatever address it says of him. One organization's provider
-- says nothing about who signs in at another's, even where both have the same issuer.
CREATE TABLE user_identities (
    provider_id uuid NOT NULL CONSTRAINT user_identities_provider REFERENCES identity_providers ON DELETE CASCADE,
    issuer      text NOT NULL,
    subject     text NOT NULL CHECK (length(subject) BETWEEN 1 AND 255),
    user_id     uuid NOT NULL CONSTRAINT user_identities_user REFERENCES users ON DELETE CASCADE,
    used_at     timestamptz NOT NULL DEFAULT now(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT user_identities_subject PRIMARY KEY (provider_id, issuer, subject)
);
CREATE INDEX user_identities_by_user ON user_identities (user_id);

CREATE TABLE invitations (
    id         uuid PRIMARY KEY,
    org_id     uuid NOT NULL CONSTRAINT invitations_organization REFERENCES organizations ON DELETE CASCADE,
    email      text NOT NULL CHECK (length(email) <= 254), -- canonical
    hash       bytea NOT NULL CONSTRAINT invitations_hash UNIQUE CHECK (length(hash) = 32), -- SHA-256 of the token
    invited_by text NOT NULL DEFAULT '', -- as revisions name him
    expires_at timestamptz NOT NULL CHECK (isfinite(expires_at)),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT invitations_email UNIQUE (org_id, email)
);
CREATE TABLE invitation_roles (
    invitation_id uuid NOT NULL CONSTRAINT invitation_roles_invitation REFERENCES invitations ON DELETE CASCADE,
    role_id       uuid NOT NULL CONSTRAINT invitation_roles_role REFERENCES roles ON DELETE CASCADE,
    PRIMARY KEY (invitation_id, role_id)
);
CREATE INDEX invitation_roles_by_role ON invitation_roles (role_id);

-- What an organization wants of a session before it counts there. No row: nothing beyond what everybody wants.
CREATE TABLE organization_security (
    org_id                uuid PRIMARY KEY CONSTRAINT organization_security_organization REFERENCES organizations ON DELETE CASCADE,
    require_second_factor boolean NOT NULL DEFAULT false,
    max_session_seconds   integer NOT NULL DEFAULT 0 CHECK (max_session_seconds = 0 OR max_session_seconds BETWEEN 300 AND 604800), -- 0: as long as any
    updated_at            timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE organization_security, invitation_roles, invitations, user_identities, identity_providers;
