-- +goose Up

-- Where a node is reached may be a name, which those who want to reach it look up: '', address:port or name:port.
ALTER TABLE nodes
    DROP CONSTRAINT nodes_wireguard_endpoint_check,
    DROP CONSTRAINT nodes_stream_endpoint_check,
    DROP CONSTRAINT nodes_gossip_endpoint_check,
    ADD CONSTRAINT nodes_wireguard_endpoint_check CHECK (wireguard_endpoint ~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?):[0-9]{1,5})?$' AND length(wireguard_endpoint) <= 259),
    ADD CONSTRAINT nodes_stream_endpoint_check CHECK (stream_endpoint ~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?):[0-9]{1,5})?$' AND length(stream_endpoint) <= 259),
    ADD CONSTRAINT nodes_gossip_endpoint_check CHECK (gossip_endpoint ~ '^(([0-9]{1,3}(\.[0-9]{1,3}){3}|\[[0-9a-f:.]+\]|([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?):[0-9]{1,5})?$' AND length(gossip_endpoint) <= 259);

-- +goose Down
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
