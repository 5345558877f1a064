-- +goose Up

-- What the connectors of a site may publish of their own accord; null: nothing. Fields of the document are only added.
ALTER TABLE sites ADD COLUMN publish jsonb CONSTRAINT sites_publish_check CHECK (publish IS NULL OR kind = 'connector');

-- What labels of containers ask for, as each connector said last, and what became of it. No configuration of nodes: the
-- services that come of it are rows like all others.
CREATE TABLE publications (
    connector_id uuid PRIMARY KEY CONSTRAINT publications_connector REFERENCES connectors ON DELETE CASCADE,
    org_id       uuid NOT NULL CONSTRAINT publications_organization REFERENCES organizations ON DELETE CASCADE,
    site_id      uuid NOT NULL CONSTRAINT publications_site REFERENCES sites ON DELETE CASCADE,
    said         jsonb NOT NULL CHECK (jsonb_typeof(said) = 'object'),
    trouble      text NOT NULL DEFAULT '', -- the engine can't be read now, what it said stands
    said_at      timestamptz NOT NULL DEFAULT now(),
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX publications_by_site ON publications (site_id);

CREATE TABLE published (
    site_id    uuid PRIMARY KEY CONSTRAINT published_site REFERENCES sites ON DELETE CASCADE,
    org_id     uuid NOT NULL CONSTRAINT published_organization REFERENCES organizations ON DELETE CASCADE,
    shown      jsonb NOT NULL CHECK (jsonb_typeof(shown) = 'object'),
    updated_at timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE published, publications;
ALTER TABLE sites DROP COLUMN publish;
