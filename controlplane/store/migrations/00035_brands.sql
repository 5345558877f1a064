-- +goose Up
-- What pages look like that nodes answer with for an organization's services.
ALTER TABLE organizations
    ADD brand_name   text  NOT NULL DEFAULT '' CONSTRAINT organizations_brand_name CHECK (char_length(brand_name) <= 64),
    ADD brand_accent text  NOT NULL DEFAULT '' CONSTRAINT organizations_brand_accent CHECK (brand_accent ~ '^(#[0-9a-f]{6})?$'),
    ADD brand_logo   bytea NOT NULL DEFAULT '' CONSTRAINT organizations_brand_logo CHECK (octet_length(brand_logo) <= 65536);

-- +goose Down
ALTER TABLE organizations DROP brand_name, DROP brand_accent, DROP brand_logo;
