-- +goose Up

-- Labels of alert rules go with their rule.
CREATE TRIGGER drop_labels AFTER DELETE ON alert_rules REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION drop_labels('id');

-- +goose Down
DROP TRIGGER drop_labels ON alert_rules;
