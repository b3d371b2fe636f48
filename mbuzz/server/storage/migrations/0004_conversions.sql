-- Refunds, counting, acquisition; why each credit is what it is; traits by the time they
-- were said; ids that wait for their person.

-- lookback_days is the window the conversion was recorded under, 0 is no limit; counting
-- is `every`, `once_per_identity` or `once_per_session`. counted, acquires and
-- inherited_from follow from what else is known of the person, as the credits do: it is
-- in the totals; it is the one that made the customer; whose channels it took over.
ALTER TABLE conversions ADD COLUMN lookback_days INTEGER NOT NULL DEFAULT 90;
ALTER TABLE conversions ADD COLUMN counting TEXT NOT NULL DEFAULT 'every';
ALTER TABLE conversions ADD COLUMN inherits INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversions ADD COLUMN funnel TEXT;
ALTER TABLE conversions ADD COLUMN correlation TEXT;
ALTER TABLE conversions ADD COLUMN flags TEXT NOT NULL DEFAULT '';
ALTER TABLE conversions ADD COLUMN refunded_minor INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversions ADD COLUMN voided_at_ms INTEGER;
ALTER TABLE conversions ADD COLUMN void_reason TEXT;
ALTER TABLE conversions ADD COLUMN counted INTEGER NOT NULL DEFAULT 1;
ALTER TABLE conversions ADD COLUMN acquires INTEGER NOT NULL DEFAULT 0;
ALTER TABLE conversions ADD COLUMN inherited_from INTEGER;

-- The journey's length, how long before the conversion the visit began, the model's
-- weight before it was made a share, and the model's version. A credit with a time
-- before, but no session, is of a visit that is no longer kept.
ALTER TABLE credits ADD COLUMN length INTEGER NOT NULL DEFAULT 0;
ALTER TABLE credits ADD COLUMN before_ms INTEGER;
ALTER TABLE credits ADD COLUMN weight REAL;
ALTER TABLE credits ADD COLUMN version INTEGER NOT NULL DEFAULT 1;

UPDATE credits SET weight = 1, before_ms = converted_at_ms
        - (SELECT s.started_at_ms FROM sessions s WHERE s.id = credits.session),
    length = (SELECT MAX(c.position) + 1 FROM credits c
        WHERE c.account_id = credits.account_id AND c.live = credits.live
        AND c.conversion = credits.conversion)
    WHERE session IS NOT NULL;

CREATE TABLE refunds (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    public_id TEXT NOT NULL UNIQUE,
    conversion INTEGER NOT NULL REFERENCES conversions (id),
    refund_id TEXT NOT NULL,
    amount_minor INTEGER NOT NULL,
    reason TEXT,
    refunded_at_ms INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    UNIQUE (account_id, live, conversion, refund_id)
);
CREATE INDEX refunds_by_time ON refunds (account_id, live, refunded_at_ms);

-- What each touchpoint gives back, in millionths of the currency unit: negative.
CREATE TABLE refund_credits (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    conversion INTEGER NOT NULL REFERENCES conversions (id),
    refund INTEGER NOT NULL REFERENCES refunds (id),
    model TEXT NOT NULL,
    position INTEGER NOT NULL,
    session INTEGER,
    channel TEXT NOT NULL,
    revenue INTEGER NOT NULL,
    currency TEXT NOT NULL,
    converted_at_ms INTEGER NOT NULL,
    refunded_at_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, live, conversion, refund, model, position)
) WITHOUT ROWID;
CREATE INDEX refund_credits_by_sale ON refund_credits
    (account_id, live, model, converted_at_ms, channel, currency, revenue);
CREATE INDEX refund_credits_by_refund ON refund_credits
    (account_id, live, model, refunded_at_ms, channel, currency, revenue);

-- said mirrors traits, with the time of each value's latest word; email_hash is of the
-- trait `email`, by which a conversion may name its user.
ALTER TABLE identities ADD COLUMN said TEXT NOT NULL DEFAULT '{}';
ALTER TABLE identities ADD COLUMN email_hash TEXT;
CREATE INDEX identities_by_email ON identities (account_id, live, email_hash)
    WHERE email_hash IS NOT NULL;

-- Ids that were called a user's before anybody had them; visitor is the one made for it.
CREATE TABLE pending_aliases (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    previous_id TEXT NOT NULL,
    identity INTEGER NOT NULL REFERENCES identities (id),
    visitor INTEGER NOT NULL REFERENCES visitors (id),
    said_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, live, previous_id)
) WITHOUT ROWID;
CREATE INDEX pending_aliases_by_time ON pending_aliases (said_ms);
