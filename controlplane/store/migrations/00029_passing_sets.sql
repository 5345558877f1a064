-- +goose Up

-- A set of manifests that goes, with all it keeps, unless somebody renews it: what a program has published while it runs.
-- Not configuration: the feed does not follow it.
CREATE TABLE passing_sets (
    org_id     uuid NOT NULL CONSTRAINT passing_sets_organization REFERENCES organizations ON DELETE CASCADE,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    owner      text NOT NULL CHECK (length(owner) <= 255), -- who alone renews it, as the audit log calls him
    lifetime_s integer NOT NULL CHECK (lifetime_s BETWEEN 10 AND 86400),
    expires_at timestamptz NOT NULL CHECK (isfinite(expires_at)),
    PRIMARY KEY (org_id, name)
);
CREATE INDEX passing_sets_by_end ON passing_sets (expires_at);

-- +goose Down
DROP TABLE passing_sets;
