-- +goose Up

-- A domain is claimed by whoever writes it, and is his once that is proved; until then nodes hear nothing of it. Claims are in
-- nobody's way. What there is when this comes is proved: it has been served.
ALTER TABLE domains ADD COLUMN unproven boolean NOT NULL DEFAULT false,
    DROP CONSTRAINT domains_name,
    ADD CONSTRAINT domains_claim UNIQUE (org_id, name);
CREATE UNIQUE INDEX domains_name ON domains (name) WHERE NOT unproven;

-- Administrators of the cluster answer for what a trusted organization claims: the first one is theirs.
ALTER TABLE organizations ADD COLUMN trusted boolean NOT NULL DEFAULT false;
UPDATE organizations SET trusted = true WHERE id = (SELECT id FROM organizations ORDER BY created_at, id LIMIT 1);

-- A domain must not be within, or contain, one that is proved to be of another organization.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION domains_apart() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE taken boolean; seen text := coalesce(current_setting('warren.organizations', true), '');
BEGIN
    PERFORM pg_advisory_xact_lock(7310001);
    PERFORM set_config('warren.organizations', '', true);
    taken := EXISTS (SELECT FROM domains d WHERE d.org_id <> NEW.org_id AND d.id <> NEW.id AND NOT d.unproven
        AND (right('.' || NEW.name, length(d.name) + 1) = '.' || d.name OR right('.' || d.name, length(NEW.name) + 1) = '.' || NEW.name));
    PERFORM set_config('warren.organizations', seen, true);
    IF taken THEN
        RAISE EXCEPTION 'domain overlaps one of another organization'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'domains_apart', TABLE = 'domains';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
DROP TRIGGER domains_apart ON domains;
CREATE TRIGGER domains_apart BEFORE INSERT OR UPDATE OF name, org_id, unproven ON domains FOR EACH ROW EXECUTE FUNCTION domains_apart();

-- Whoever publishes a challenge gets a certificate for its name: the name must stand in a domain that is proved to be of the
-- same organization, whoever writes.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION challenges_owned() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM 1 FROM domains d
      WHERE d.org_id = NEW.org_id AND NOT d.unproven AND d.name = ANY (
            SELECT array_to_string(labels[i:], '.') FROM (SELECT string_to_array(NEW.name, '.') AS labels) s, generate_subscripts(labels, 1) i);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'name is in no domain of the organization'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'challenges_owned', TABLE = 'challenges';
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- +goose Down
DELETE FROM domains WHERE unproven;
DROP TRIGGER domains_apart ON domains;
CREATE TRIGGER domains_apart BEFORE INSERT OR UPDATE OF name, org_id ON domains FOR EACH ROW EXECUTE FUNCTION domains_apart();
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION domains_apart() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE taken boolean; seen text := coalesce(current_setting('warren.organizations', true), '');
BEGIN
    PERFORM pg_advisory_xact_lock(7310001);
    PERFORM set_config('warren.organizations', '', true);
    taken := EXISTS (SELECT FROM domains d WHERE d.org_id <> NEW.org_id AND d.id <> NEW.id
        AND (right('.' || NEW.name, length(d.name) + 1) = '.' || d.name OR right('.' || d.name, length(NEW.name) + 1) = '.' || NEW.name));
    PERFORM set_config('warren.organizations', seen, true);
    IF taken THEN
        RAISE EXCEPTION 'domain overlaps one of another organization'
            USING ERRCODE = 'unique_violation', CONSTRAINT = 'domains_apart', TABLE = 'domains';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE FUNCTION challenges_owned() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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
DROP INDEX domains_name;
ALTER TABLE domains DROP CONSTRAINT domains_claim, ADD CONSTRAINT domains_name UNIQUE (name), DROP COLUMN unproven;
ALTER TABLE organizations DROP COLUMN trusted;
