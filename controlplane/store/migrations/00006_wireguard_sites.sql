-- +goose Up

-- Sites that are a stock WireGuard peer, with the public key of that; null: none yet.
ALTER TABLE sites
    DROP CONSTRAINT sites_kind_check,
    ADD CONSTRAINT sites_kind_check CHECK (kind IN ('connector', 'local', 'wireguard')),
    ADD COLUMN wireguard_public_key bytea CONSTRAINT sites_wireguard_key UNIQUE,
    ADD CONSTRAINT sites_wireguard_public_key_check
        CHECK (wireguard_public_key IS NULL OR length(wireguard_public_key) = 32 AND kind = 'wireguard');

-- A key is one peer to a node, whatever that is: whoever wrote a stranger's public key down as the own one would
-- take the stranger's place. Public keys are not secret, and nobody proves that he has the private one.
-- +goose StatementBegin
CREATE FUNCTION wireguard_keys_apart() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.wireguard_public_key IS NOT DISTINCT FROM OLD.wireguard_public_key THEN
        RETURN NEW; -- and nobody waits
    END IF;
    PERFORM pg_advisory_xact_lock(7310006);
    IF TG_TABLE_NAME <> 'nodes' AND EXISTS (SELECT FROM nodes WHERE wireguard_public_key = NEW.wireguard_public_key)
        OR TG_TABLE_NAME <> 'connectors' AND EXISTS (SELECT FROM connectors WHERE wireguard_public_key = NEW.wireguard_public_key)
        OR TG_TABLE_NAME <> 'sites' AND EXISTS (SELECT FROM sites WHERE wireguard_public_key = NEW.wireguard_public_key) THEN
        RAISE EXCEPTION 'WireGuard key of another peer'
            USING ERRCODE = 'unique_violation', CONSTRAINT = TG_TABLE_NAME || '_wireguard_key', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NEW;
END $$;
-- +goose StatementEnd
CREATE TRIGGER wireguard_keys_apart BEFORE INSERT OR UPDATE OF wireguard_public_key ON nodes
    FOR EACH ROW WHEN (NEW.wireguard_public_key IS NOT NULL) EXECUTE FUNCTION wireguard_keys_apart();
CREATE TRIGGER wireguard_keys_apart BEFORE INSERT OR UPDATE OF wireguard_public_key ON connectors
    FOR EACH ROW WHEN (NEW.wireguard_public_key IS NOT NULL) EXECUTE FUNCTION wireguard_keys_apart();
CREATE TRIGGER wireguard_keys_apart BEFORE INSERT OR UPDATE OF wireguard_public_key ON sites
    FOR EACH ROW WHEN (NEW.wireguard_public_key IS NOT NULL) EXECUTE FUNCTION wireguard_keys_apart();

-- +goose Down
DROP TRIGGER wireguard_keys_apart ON nodes;
DROP TRIGGER wireguard_keys_apart ON connectors;
DROP TRIGGER wireguard_keys_apart ON sites;
DROP FUNCTION wireguard_keys_apart;
DELETE FROM targets WHERE site_id IN (SELECT id FROM sites WHERE kind = 'wireguard');
DELETE FROM sites WHERE kind = 'wireguard';
ALTER TABLE sites
    DROP COLUMN wireguard_public_key CASCADE,
    DROP CONSTRAINT sites_kind_check,
    ADD CONSTRAINT sites_kind_check CHECK (kind IN ('connector', 'local'));
