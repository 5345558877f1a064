-- +goose Up

-- Where a node is reached may be a name, which those who want to reach it look up: '', address:port or name:port.
ALTER TABLE nodes
    DROP CONSTRAINT nodes_wireguard_endpoint_check,
    DROP CONSTRAINT nodes_stream_endpoint_check,
    DROP CONSTRAINT nodes_gossip_endpoint_check,
    ADD CONSTRAINT nodes_wireguard_endpoint_check CHECK (wireguard_endpoint ~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?):[0-9]{1,5})?$' AND length(wireguard_endpoint) <= 259),
    ADD CONSTRAINT nodes_stream_endpoint_check CHECK (stream_endpoint ~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?):[0-9]{1,5})?$' AND length(stream_endpoint) <= 259),
    ADD CONSTRAINT nodes_gossip_endpoint_check CHECK (gossip_endpoint ~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?):[0-9]{1,5})?$' AND length(gossip_endpoint) <= 259);

-- Who seals with a key holds a lock of that key, which a rotation takes alone: such locks are given in the order in
-- which they are asked for, while new holders of FOR KEY SHARE go past whoever waits for the row to be theirs.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION sealed_with_data_key() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE sealed bytea; col text; key bit(32);
BEGIN
    FOREACH col IN ARRAY TG_ARGV LOOP
        EXECUTE format('SELECT ($1).%I', col) INTO sealed USING NEW;
        CONTINUE WHEN sealed IS NULL;
        key := ('x' || lpad(encode(substring(sealed FROM 2 FOR 4), 'hex'), 8, '0'))::bit(32);
        PERFORM pg_advisory_xact_lock_shared(7310010, key::int);
        PERFORM 1 FROM data_keys WHERE id = key::bigint FOR KEY SHARE;
        IF NOT FOUND AND EXISTS (SELECT 1 FROM data_keys) THEN
            RAISE EXCEPTION '%.% is sealed with a key that is retired', TG_TABLE_NAME, col USING ERRCODE = 'WR001';
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION sealed_with_data_key() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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
UPDATE nodes SET wireguard_endpoint = '' WHERE wireguard_endpoint !~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]):[0-9]{1,5})?$';
UPDATE nodes SET stream_endpoint = '' WHERE stream_endpoint !~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]):[0-9]{1,5})?$';
UPDATE nodes SET gossip_endpoint = '' WHERE gossip_endpoint !~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]):[0-9]{1,5})?$';
ALTER TABLE nodes
    DROP CONSTRAINT nodes_wireguard_endpoint_check,
    DROP CONSTRAINT nodes_stream_endpoint_check,
    DROP CONSTRAINT nodes_gossip_endpoint_check,
    ADD CONSTRAINT nodes_wireguard_endpoint_check CHECK (wireguard_endpoint ~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]):[0-9]{1,5})?$'),
    ADD CONSTRAINT nodes_stream_endpoint_check CHECK (stream_endpoint ~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]):[0-9]{1,5})?$'),
    ADD CONSTRAINT nodes_gossip_endpoint_check CHECK (gossip_endpoint ~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]):[0-9]{1,5})?$');
