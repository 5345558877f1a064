-- +goose Up
-- How many requests and new connections a second each node serves for an organization; 0: as many as there are.
ALTER TABLE organizations
    ADD requests_per_second integer NOT NULL DEFAULT 0 CONSTRAINT organizations_requests_per_second CHECK (requests_per_second BETWEEN 0 AND 1000000);

-- +goose Down
ALTER TABLE organizations DROP requests_per_second;
