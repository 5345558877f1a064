-- +goose Up

-- Who has shown a one-time code that was mailed to him may visit one service as long as his row is there. Not configuration:
-- the feed does not follow it. Ending it is removing the row.
CREATE TABLE visitors (
    id         uuid PRIMARY KEY,
    org_id     uuid NOT NULL CONSTRAINT visitors_organization REFERENCES organizations ON DELETE CASCADE,
    service_id uuid NOT NULL CONSTRAINT visitors_service REFERENCES services ON DELETE CASCADE,
    mail       text NOT NULL CHECK (length(mail) <= 254), -- in the one form that policies compare
    address    inet, -- from where he came
    expires_at timestamptz NOT NULL CHECK (isfinite(expires_at)), -- whatever happens
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX visitors_by_org ON visitors (org_id, id);
CREATE INDEX visitors_by_service ON visitors (service_id);
CREATE INDEX visitors_by_end ON visitors (expires_at);

-- What was signed is not taken back, but says something that is true no more: it has to be renewed before it counts again.
ALTER TABLE access_revocations ADD COLUMN stale boolean NOT NULL DEFAULT false;

-- Which roles a provider's rules have given: these go when what the provider says changes. Those that somebody has given stay.
CREATE TABLE claimed_roles (
    user_id     uuid NOT NULL CONSTRAINT claimed_roles_user REFERENCES users ON DELETE CASCADE,
    provider_id uuid NOT NULL CONSTRAINT claimed_roles_provider REFERENCES identity_providers ON DELETE CASCADE,
    org_id      uuid, -- null: in the cluster
    role_id     uuid NOT NULL CONSTRAINT claimed_roles_role REFERENCES roles ON DELETE CASCADE,
    CONSTRAINT claimed_roles_once UNIQUE NULLS NOT DISTINCT (user_id, provider_id, org_id, role_id),
    -- Who leaves an organization and comes back has what he is given then.
    CONSTRAINT claimed_roles_membership FOREIGN KEY (org_id, user_id) REFERENCES memberships (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX claimed_roles_by_provider ON claimed_roles (provider_id);
CREATE INDEX claimed_roles_by_role ON claimed_roles (role_id);
CREATE INDEX claimed_roles_by_membership ON claimed_roles (org_id, user_id);

-- +goose Down
DROP TABLE claimed_roles;
ALTER TABLE access_revocations DROP COLUMN stale;
DROP TABLE visitors;
