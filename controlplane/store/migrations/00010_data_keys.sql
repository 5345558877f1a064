-- +goose Up

-- The keys that seal private keys in rows, encrypted with a key-encryption key that no database sees. While the
-- key-encryption key is being replaced there are two rows with the same keys: every replica opens the one that it can.
CREATE TABLE data_keysets (
    id         uuid PRIMARY KEY,
    generation bigint NOT NULL CHECK (generation > 0), -- counts changes of the keys
    wrapped    bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- The identifiers of the keys that may seal. A key is retired by removing its row: who seals with it at that moment
-- is waited for, who does so later is refused, so that no row is left behind that nobody can open.
CREATE TABLE data_keys (
    id         bigint PRIMARY KEY CHECK (id BETWEEN 0 AND 4294967295),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One function for all tables; its arguments are the sealed columns. As long as there are no data keys at all, rows
-- are sealed with the key-encryption key itself, and this function has nothing to say.
-- +goose StatementBegin
CREATE FUNCTION sealed_with_data_key() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE sealed bytea; col text;
BEGIN
    FOREACH col IN ARRAY TG_ARGV LOOP
        EXECUTE format('SELECT ($1).%I', col) INTO sealed USING NEW;
        CONTINUE WHEN sealed IS NULL;
        PERFORM 1 FROM data_keys WHERE id = ('x' || lpad(encode(substring(sealed FROM 2 FOR 4), 'hex'), 16, '0'))::bit(64)::bigint FOR KEY SHARE;
        IF NOT FOUND AND EXISTS (SELECT 1 FROM data_keys) THEN
            RAISE EXCEPTION '%.% is sealed with a key that is retired', TG_TABLE_NAME, col USING ERRCODE = 'WR001';
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
-- +goose StatementEnd

CREATE TRIGGER sealed BEFORE INSERT OR UPDATE OF sealed_key ON authorities FOR EACH ROW EXECUTE FUNCTION sealed_with_data_key('sealed_key');
CREATE TRIGGER sealed BEFORE INSERT OR UPDATE OF sealed_key ON certificates FOR EACH ROW EXECUTE FUNCTION sealed_with_data_key('sealed_key');
CREATE TRIGGER sealed BEFORE INSERT OR UPDATE OF sealed_key ON gossip_keys FOR EACH ROW EXECUTE FUNCTION sealed_with_data_key('sealed_key');

-- +goose Down
DROP FUNCTION sealed_with_data_key CASCADE;
DROP TABLE data_keys, data_keysets;
