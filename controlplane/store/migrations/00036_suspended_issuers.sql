-- +goose Up

-- Nothing new is ordered from an issuer that is suspended.
ALTER TABLE issuers ADD suspended boolean NOT NULL DEFAULT false;

-- An issuer may go before what is told of its orders: those that are over don't hold it.
ALTER TABLE orders
    ALTER issuer_id DROP NOT NULL,
    DROP CONSTRAINT orders_issuer,
    ADD CONSTRAINT orders_issuer FOREIGN KEY (issuer_id) REFERENCES issuers ON DELETE SET NULL,
    ADD CONSTRAINT orders_issuer_check CHECK (issuer_id IS NOT NULL OR finished_at IS NOT NULL);

-- +goose Down
DELETE FROM orders WHERE issuer_id IS NULL;
ALTER TABLE orders
    DROP CONSTRAINT orders_issuer_check,
    DROP CONSTRAINT orders_issuer,
    ADD CONSTRAINT orders_issuer FOREIGN KEY (issuer_id) REFERENCES issuers,
    ALTER issuer_id SET NOT NULL;
ALTER TABLE issuers DROP suspended;
