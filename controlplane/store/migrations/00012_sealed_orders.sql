-- +goose Up

-- What is sealed for issuers, orders and session tickets is sealed with data keys, like all that is sealed.
CREATE TRIGGER sealed BEFORE INSERT OR UPDATE OF sealed_eab_key, sealed_account_key, sealed_pending_key ON issuers
    FOR EACH ROW EXECUTE FUNCTION sealed_with_data_key('sealed_eab_key', 'sealed_account_key', 'sealed_pending_key');
CREATE TRIGGER sealed BEFORE INSERT OR UPDATE OF sealed_key ON orders FOR EACH ROW EXECUTE FUNCTION sealed_with_data_key('sealed_key');
CREATE TRIGGER sealed BEFORE INSERT OR UPDATE OF sealed_key ON ticket_keys FOR EACH ROW EXECUTE FUNCTION sealed_with_data_key('sealed_key');

-- +goose Down
DROP TRIGGER sealed ON ticket_keys;
DROP TRIGGER sealed ON issuers;
DROP TRIGGER sealed ON orders;
