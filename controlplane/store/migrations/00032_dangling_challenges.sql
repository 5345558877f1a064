-- +goose Up

-- What nodes answer for a name goes with the domain that it stands in: left behind, it would be answered below whosever domain
-- that is next. Of a challenge and the end of its domain one waits for the other.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION challenges_owned() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM 1 FROM domains d
      WHERE d.org_id = NEW.org_id AND NOT d.unproven AND d.name = ANY (
            SELECT array_to_string(labels[i:], '.') FROM (SELECT string_to_array(NEW.name, '.') AS labels) s, generate_subscripts(labels, 1) i)
      FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'name is in no domain of the organization'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'challenges_owned', TABLE = 'challenges';
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION challenges_left() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM challenges c
     WHERE c.org_id = OLD.org_id AND right('.' || c.name, length(OLD.name) + 1) = '.' || OLD.name AND NOT EXISTS (
           SELECT FROM domains d WHERE d.org_id = c.org_id AND NOT d.unproven AND right('.' || c.name, length(d.name) + 1) = '.' || d.name);
    RETURN NULL;
END $$;
-- +goose StatementEnd
CREATE TRIGGER challenges_left AFTER DELETE OR UPDATE ON domains FOR EACH ROW EXECUTE FUNCTION challenges_left();

-- +goose Down
DROP TRIGGER challenges_left ON domains;
DROP FUNCTION challenges_left;
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
