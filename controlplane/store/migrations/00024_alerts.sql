-- +goose Up

-- About what somebody is told, and whom. None of this is configuration of nodes.
CREATE TABLE alert_rules (
    id             uuid PRIMARY KEY,
    org_id         uuid CONSTRAINT alert_rules_organization REFERENCES organizations ON DELETE CASCADE, -- null: the cluster's
    name           label NOT NULL,
    kind           text NOT NULL CHECK (kind ~ '^[a-z_]+$'),
    object         text NOT NULL, -- typed id; '': all of the kind
    hold_ms        bigint NOT NULL CHECK (hold_ms >= 0),
    percent        double precision NOT NULL,
    span_ms        bigint NOT NULL CHECK (span_ms >= 0),
    mail           text[] NOT NULL DEFAULT '{}',
    enabled        boolean NOT NULL DEFAULT true,
    silenced_until timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    updated_at     timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT alert_rules_name UNIQUE NULLS NOT DISTINCT (org_id, name)
);

-- What is so now, or was a moment ago.
CREATE TABLE alerts (
    rule_id     uuid NOT NULL CONSTRAINT alerts_rule REFERENCES alert_rules ON DELETE CASCADE,
    object      text NOT NULL,
    org_id      uuid CONSTRAINT alerts_organization REFERENCES organizations ON DELETE CASCADE,
    name        text NOT NULL,
    since       timestamptz NOT NULL,
    fired_at    timestamptz,
    clear_since timestamptz,
    told        boolean NOT NULL,
    reason      text NOT NULL,
    PRIMARY KEY (rule_id, object)
);

-- When all rules are looked at next. Whoever moves it on looks, in the same transaction; nobody else does meanwhile.
CREATE TABLE alert_rounds (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    next_at timestamptz NOT NULL
);
INSERT INTO alert_rounds (next_at) VALUES ('epoch');

-- Messages about alerts. A job of the queue stands for each row that is not over.
CREATE TABLE alert_mails (
    event_id uuid NOT NULL CONSTRAINT alert_mails_event REFERENCES events ON DELETE CASCADE,
    address  text NOT NULL,
    rule_id  uuid NOT NULL CONSTRAINT alert_mails_rule REFERENCES alert_rules ON DELETE CASCADE,
    org_id   uuid CONSTRAINT alert_mails_organization REFERENCES organizations ON DELETE CASCADE,
    attempt  integer NOT NULL DEFAULT 0,
    at       timestamptz NOT NULL DEFAULT now(), -- of the last attempt
    sent     boolean NOT NULL DEFAULT false,
    problem  text NOT NULL DEFAULT '',
    PRIMARY KEY (event_id, address)
);
CREATE INDEX alert_mails_by_rule ON alert_mails (rule_id, at);

-- +goose Down
DROP TABLE alert_mails, alert_rounds, alerts, alert_rules;
