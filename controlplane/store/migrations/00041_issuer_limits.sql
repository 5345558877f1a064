-- +goose Up

-- Kinds of requests that an authority does not want of the account before a time (429 with a long Retry-After); all else may be asked.
CREATE TABLE issuer_limits (
    issuer_id uuid NOT NULL CONSTRAINT issuer_limits_issuer REFERENCES issuers ON DELETE CASCADE,
    request   text NOT NULL CHECK (request IN ('new_order', 'renewal_info')),
    until     timestamptz NOT NULL CHECK (isfinite(until)),
    PRIMARY KEY (issuer_id, request)
);

-- +goose Down
DROP TABLE issuer_limits;
