-- +goose Up

-- What the last apply of a set of manifests that changed anything left: who did it, and a digest of what was written of each
-- object, by which one sees what was changed elsewhere since. Not configuration: the feed does not follow it.
CREATE TABLE manifest_sets (
    org_id     uuid NOT NULL CONSTRAINT manifest_sets_organization REFERENCES organizations ON DELETE CASCADE,
    name       text NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
    applied_at timestamptz NOT NULL CHECK (isfinite(applied_at)),
    applied_by text NOT NULL CHECK (length(applied_by) <= 255),
    created    integer NOT NULL CHECK (created >= 0),
    changed    integer NOT NULL CHECK (changed >= 0), -- without those that were created
    removed    integer NOT NULL CHECK (removed >= 0),
    objects    jsonb NOT NULL, -- kind, name and digest by id
    PRIMARY KEY (org_id, name)
);

-- +goose Down
DROP TABLE manifest_sets;
