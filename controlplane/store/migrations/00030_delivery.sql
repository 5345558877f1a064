-- +goose Up

-- How requests are changed on the way, and how targets are spoken to. Fields of the documents are only added.
ALTER TABLE services
    ADD COLUMN delivery    jsonb CONSTRAINT services_delivery_check CHECK (delivery IS NULL OR kind = 'http'),
    ADD COLUMN maintenance jsonb CONSTRAINT services_maintenance_check CHECK (maintenance IS NULL OR kind = 'http');

ALTER TABLE targets
    ADD COLUMN scheme          text    NOT NULL DEFAULT 'http' CONSTRAINT targets_scheme_check CHECK (scheme IN ('http', 'https', 'h2c')),
    ADD COLUMN server_name     text    NOT NULL DEFAULT '',
    ADD COLUMN authorities_pem text    NOT NULL DEFAULT '' CONSTRAINT targets_authorities_check CHECK (length(authorities_pem) <= 65536),
    ADD COLUMN strip_prefix    boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE targets DROP COLUMN scheme, DROP COLUMN server_name, DROP COLUMN authorities_pem, DROP COLUMN strip_prefix;
ALTER TABLE services DROP COLUMN delivery, DROP COLUMN maintenance;
