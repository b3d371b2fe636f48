-- Models of an account's own, what data-driven ones have learned, credit given anew.

-- Definitions as JSON, those in force; every one there ever was is a version.
ALTER TABLE accounts ADD COLUMN models TEXT NOT NULL DEFAULT '[]';
CREATE TABLE model_versions (
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    definition TEXT NOT NULL,
    actor TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, model, version)
) WITHOUT ROWID;

-- What a data-driven model learned, and from how much: the latest is in force. state is
-- what it weighs by, diagnostics what people may want to know of it, both JSON.
CREATE TABLE trainings (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    model TEXT NOT NULL,
    version INTEGER NOT NULL,
    public_id TEXT NOT NULL UNIQUE,
    definition TEXT NOT NULL,
    journeys INTEGER NOT NULL,
    conversions INTEGER NOT NULL,
    known INTEGER NOT NULL,
    state TEXT NOT NULL,
    diagnostics TEXT NOT NULL,
    trained_at_ms INTEGER NOT NULL,
    UNIQUE (account_id, live, model, version)
);

-- Models under which all conversions are to be credited anew, from from_ms on: those up
-- to `reached` are; when it was asked for there were those up to `last`.
CREATE TABLE recredits (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    model TEXT NOT NULL,
    reached INTEGER NOT NULL,
    last INTEGER NOT NULL,
    from_ms INTEGER NOT NULL,
    finished_at_ms INTEGER,
    PRIMARY KEY (account_id, live, model)
) WITHOUT ROWID;

-- What a touchpoint was to the model, such as first_touch+mql.
ALTER TABLE credits ADD COLUMN role TEXT NOT NULL DEFAULT '';
UPDATE credits SET role = model WHERE model IN ('first_touch', 'last_touch')
    AND session IS NOT NULL;

-- What reports add up of credits, by the hour of the conversion, kept by triggers as
-- `session_hours` is. Whole units of revenue are apart from millionths: together they
-- could overflow 64 bits.
CREATE TABLE credit_hours (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    model TEXT NOT NULL,
    hour INTEGER NOT NULL,
    currency TEXT NOT NULL,
    channel TEXT NOT NULL,
    credits INTEGER NOT NULL,
    credit INTEGER NOT NULL,
    units INTEGER NOT NULL,
    millionths INTEGER NOT NULL,
    PRIMARY KEY (account_id, live, model, hour, currency, channel)
) WITHOUT ROWID;
INSERT INTO credit_hours
SELECT account_id, live, model, converted_at_ms / 3600000, currency, channel, COUNT(*),
    SUM(credit), SUM(COALESCE(revenue, 0) / 1000000),
    SUM(COALESCE(revenue, 0) % 1000000)
FROM credits GROUP BY 1, 2, 3, 4, 5, 6;

-- The same by the day (UTC), kept by triggers on the hours.
CREATE TABLE credit_days (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    model TEXT NOT NULL,
    day INTEGER NOT NULL,
    currency TEXT NOT NULL,
    channel TEXT NOT NULL,
    credits INTEGER NOT NULL,
    credit INTEGER NOT NULL,
    units INTEGER NOT NULL,
    millionths INTEGER NOT NULL,
    PRIMARY KEY (account_id, live, model, day, currency, channel)
) WITHOUT ROWID;
INSERT INTO credit_days
SELECT account_id, live, model, hour / 24, currency, channel, SUM(credits),
    SUM(credit), SUM(units), SUM(millionths)
FROM credit_hours GROUP BY 1, 2, 3, 4, 5, 6;

CREATE TRIGGER credit_days_begun AFTER INSERT ON credit_hours BEGIN
    INSERT INTO credit_days VALUES (NEW.account_id, NEW.live, NEW.model,
        NEW.hour / 24, NEW.currency, NEW.channel, NEW.credits, NEW.credit, NEW.units,
        NEW.millionths)
    ON CONFLICT (account_id, live, model, day, currency, channel) DO UPDATE SET
        credits = credits + excluded.credits, credit = credit + excluded.credit,
        units = units + excluded.units, millionths = millionths + excluded.millionths;
END;

CREATE TRIGGER credit_days_changed AFTER UPDATE ON credit_hours BEGIN
    UPDATE credit_days SET credits = credits + NEW.credits - OLD.credits,
        credit = credit + NEW.credit - OLD.credit,
        units = units + NEW.units - OLD.units,
        millionths = millionths + NEW.millionths - OLD.millionths
    WHERE account_id = OLD.account_id AND live = OLD.live AND model = OLD.model
        AND day = OLD.hour / 24 AND currency = OLD.currency AND channel = OLD.channel;
END;

CREATE TRIGGER credit_days_gone AFTER DELETE ON credit_hours BEGIN
    UPDATE credit_days SET credits = credits - OLD.credits,
        credit = credit - OLD.credit, units = units - OLD.units,
        millionths = millionths - OLD.millionths
    WHERE account_id = OLD.account_id AND live = OLD.live AND model = OLD.model
        AND day = OLD.hour / 24 AND currency = OLD.currency AND channel = OLD.channel;
    DELETE FROM credit_days
    WHERE account_id = OLD.account_id AND live = OLD.live AND model = OLD.model
        AND day = OLD.hour / 24 AND currency = OLD.currency AND channel = OLD.channel
        AND credits = 0;
END;

CREATE TRIGGER credit_hours_given AFTER INSERT ON credits BEGIN
    INSERT INTO credit_hours VALUES (NEW.account_id, NEW.live, NEW.model,
        NEW.converted_at_ms / 3600000, NEW.currency, NEW.channel, 1, NEW.credit,
        COALESCE(NEW.revenue, 0) / 1000000, COALESCE(NEW.revenue, 0) % 1000000)
    ON CONFLICT (account_id, live, model, hour, currency, channel) DO UPDATE SET
        credits = credits + 1, credit = credit + excluded.credit,
        units = units + excluded.units, millionths = millionths + excluded.millionths;
END;

CREATE TRIGGER credit_hours_taken AFTER DELETE ON credits BEGIN
    UPDATE credit_hours SET credits = credits - 1, credit = credit - OLD.credit,
        units = units - COALESCE(OLD.revenue, 0) / 1000000,
        millionths = millionths - COALESCE(OLD.revenue, 0) % 1000000
    WHERE account_id = OLD.account_id AND live = OLD.live AND model = OLD.model
        AND hour = OLD.converted_at_ms / 3600000 AND currency = OLD.currency
        AND channel = OLD.channel;
    DELETE FROM credit_hours
    WHERE account_id = OLD.account_id AND live = OLD.live AND model = OLD.model
        AND hour = OLD.converted_at_ms / 3600000 AND currency = OLD.currency
        AND channel = OLD.channel AND credits = 0;
END;

CREATE TRIGGER credit_hours_moved
AFTER UPDATE OF account_id, live, model, channel, credit, revenue, currency,
    converted_at_ms ON credits
BEGIN
    UPDATE credit_hours SET credits = credits - 1, credit = credit - OLD.credit,
        units = units - COALESCE(OLD.revenue, 0) / 1000000,
        millionths = millionths - COALESCE(OLD.revenue, 0) % 1000000
    WHERE account_id = OLD.account_id AND live = OLD.live AND model = OLD.model
        AND hour = OLD.converted_at_ms / 3600000 AND currency = OLD.currency
        AND channel = OLD.channel;
    DELETE FROM credit_hours
    WHERE account_id = OLD.account_id AND live = OLD.live AND model = OLD.model
        AND hour = OLD.converted_at_ms / 3600000 AND currency = OLD.currency
        AND channel = OLD.channel AND credits = 0;
    INSERT INTO credit_hours VALUES (NEW.account_id, NEW.live, NEW.model,
        NEW.converted_at_ms / 3600000, NEW.currency, NEW.channel, 1, NEW.credit,
        COALESCE(NEW.revenue, 0) / 1000000, COALESCE(NEW.revenue, 0) % 1000000)
    ON CONFLICT (account_id, live, model, hour, currency, channel) DO UPDATE SET
        credits = credits + 1, credit = credit + excluded.credit,
        units = units + excluded.units, millionths = millionths + excluded.millionths;
END;

-- Reports read of credits what hours do not begin or end with, and no more.
DROP INDEX credits_by_model;
CREATE INDEX credits_by_time ON credits (account_id, live, converted_at_ms);

-- The models that are new are owed to every conversion.
INSERT INTO recredits (account_id, live, model, reached, last, from_ms)
SELECT c.account_id, c.live, m.value, 0, c.last, 0
FROM (SELECT account_id, live, MAX(id) AS last FROM conversions GROUP BY 1, 2) c,
    json_each('["last_non_direct", "time_decay", "u_shaped", "w_shaped", "z_shaped"]') m;

DELETE FROM sqlite_stat1 WHERE idx = 'credits_by_model';
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('credits', 'credits_by_time', '400000 400000 400000 30'),
    ('model_versions', 'model_versions', '100 100 5 1'),
    ('trainings', 'sqlite_autoindex_trainings_1', '200 1'),
    ('trainings', 'sqlite_autoindex_trainings_2', '200 200 100 30 1'),
    ('recredits', 'recredits', '20 20 10 1'),
    ('credit_hours', 'credit_hours', '500000 500000 500000 50000 10 10 1'),
    ('credit_days', 'credit_days', '50000 50000 50000 5000 10 10 1');
ANALYZE sqlite_schema;  -- has them read
