-- +goose Up

-- What people call objects by, and which set of manifests they are kept by. No configuration of nodes: the feed does not
-- follow it. One table for all kinds: nothing reads labels but lists of objects.
CREATE TABLE object_labels (
    kind       text NOT NULL, -- the object's table
    object_id  uuid NOT NULL, -- of a membership: the user's
    org_id     uuid,          -- null: the object belongs to no organization
    labels     jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(labels) = 'object'),
    managed_by text NOT NULL DEFAULT '' CHECK (length(managed_by) <= 63),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (kind, object_id, org_id)
);
CREATE INDEX object_labels_by_label ON object_labels USING gin (labels jsonb_path_ops);
CREATE INDEX object_labels_by_set ON object_labels (managed_by) WHERE managed_by <> '';

-- Labels go with their object, whoever removes it. The argument is the name of the key column.
-- +goose StatementBegin
CREATE FUNCTION drop_labels() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM object_labels l USING old_rows o
     WHERE l.kind = TG_TABLE_NAME AND l.object_id = (to_jsonb(o) ->> TG_ARGV[0])::uuid
       AND l.org_id IS NOT DISTINCT FROM (to_jsonb(o) ->> 'org_id')::uuid;
    RETURN NULL;
END $$;
-- +goose StatementEnd
-- +goose StatementBegin
DO $$
DECLARE t text; k text;
BEGIN
    FOR t, k IN VALUES ('organizations', 'id'), ('regions', 'id'), ('pools', 'id'), ('nodes', 'id'), ('domains', 'id'), ('sites', 'id'),
                       ('connectors', 'id'), ('policies', 'id'), ('services', 'id'), ('targets', 'id'), ('issuers', 'id'), ('roles', 'id'),
                       ('users', 'id'), ('memberships', 'user_id'), ('identity_providers', 'id'), ('user_groups', 'id'), ('service_accounts', 'id'),
                       ('webhooks', 'id')
    LOOP
        EXECUTE format('CREATE TRIGGER drop_labels AFTER DELETE ON %I REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION drop_labels(%L)', t, k);
    END LOOP;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION drop_labels CASCADE;
DROP TABLE object_labels;
