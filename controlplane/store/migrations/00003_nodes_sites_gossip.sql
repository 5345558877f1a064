-- +goose Up

ALTER TABLE nodes
    ADD COLUMN capacity integer NOT NULL DEFAULT 100 CHECK (capacity BETWEEN 1 AND 1000),
    ADD COLUMN stream_endpoint text NOT NULL DEFAULT '' -- '' or address:port
        CHECK (stream_endpoint ~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]):[0-9]{1,5})?$'),
    ADD COLUMN gossip_endpoint text NOT NULL DEFAULT ''
        CHECK (gossip_endpoint ~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]):[0-9]{1,5})?$'),
    ADD COLUMN pinned text[] NOT NULL DEFAULT '{}' -- what an operator wrote: the node's own word does not change it
        CHECK (pinned <@ ARRAY['addresses', 'wireguard_endpoint', 'stream_endpoint', 'gossip_endpoint']);

ALTER TABLE sites
    ADD COLUMN kind text NOT NULL DEFAULT 'connector' CHECK (kind IN ('connector', 'local')),
    ADD COLUMN carrier text NOT NULL DEFAULT 'auto' CHECK (carrier IN ('auto', 'stream', 'wireguard')),
    ADD COLUMN region_id uuid CONSTRAINT sites_region REFERENCES regions,
    -- Of a local site: the nodes that stand in its network. An array, and not a table of its own, because a site
    -- is one row to the change feed; that the nodes are there is for those who write sites and remove nodes.
    ADD COLUMN node_ids uuid[] NOT NULL DEFAULT '{}'
        CHECK (coalesce(array_ndims(node_ids), 1) = 1 AND array_position(node_ids, NULL) IS NULL),
    ALTER COLUMN tunnels SET DEFAULT 3,
    ADD CONSTRAINT sites_nodes_check CHECK ((kind = 'local') = (cardinality(node_ids) > 0));
CREATE INDEX sites_by_node ON sites USING gin (node_ids);

-- Keys of the gossip between nodes. A rotation is asked for by a row without a key; from then on each of its
-- steps is a state that all replicas see.
CREATE TABLE gossip_keys (
    id         uuid PRIMARY KEY,
    state      text NOT NULL CHECK (state IN ('asked', 'opens', 'seals', 'retired')),
    sealed_key bytea, -- null: not made yet
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT gossip_keys_key_check CHECK ((state = 'asked') = (sealed_key IS NULL))
);
CREATE UNIQUE INDEX gossip_keys_state ON gossip_keys (state) WHERE state <> 'retired'; -- one at most of each

CREATE TRIGGER log_insert AFTER INSERT ON gossip_keys REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_update AFTER UPDATE ON gossip_keys REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_delete AFTER DELETE ON gossip_keys REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');
CREATE TRIGGER log_truncate AFTER TRUNCATE ON gossip_keys FOR EACH STATEMENT EXECUTE FUNCTION log_changes('id');

-- Who wrote what is there already is not known: it is kept as if an operator had.
UPDATE nodes SET pinned = array_remove(ARRAY[CASE WHEN cardinality(addresses) > 0 THEN 'addresses' END, CASE WHEN wireguard_endpoint <> '' THEN 'wireguard_endpoint' END], NULL)
 WHERE cardinality(addresses) > 0 OR wireguard_endpoint <> '';

-- +goose Down
DROP TABLE gossip_keys;
ALTER TABLE sites ALTER COLUMN tunnels SET DEFAULT 2, DROP COLUMN kind CASCADE, DROP COLUMN carrier, DROP COLUMN region_id, DROP COLUMN node_ids CASCADE;
ALTER TABLE nodes DROP COLUMN capacity, DROP COLUMN stream_endpoint, DROP COLUMN gossip_endpoint, DROP COLUMN pinned;
