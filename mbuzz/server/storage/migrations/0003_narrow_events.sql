-- Events whose unique key grows at its end, whatever ids clients make; what an account
-- has chosen; what keys and users may do; who did what.

ALTER TABLE accounts ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE accounts ADD COLUMN deleted_at_ms INTEGER;
ALTER TABLE users ADD COLUMN role TEXT NOT NULL DEFAULT 'owner';
ALTER TABLE api_keys ADD COLUMN scopes TEXT NOT NULL DEFAULT 'ingest read';

-- Who did what, when; never the data itself.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    details TEXT NOT NULL
);
CREATE INDEX audit_by_time ON audit (account_id, at_ms);

-- id_hour is the hour of the time that the client said, else of the receipt: a repeat
-- has the same, so it is found without an index in the order of random ids.
-- said_at_ms is what the client said, where its clock was corrected. landing is null
-- where url and referrer say it all; bot_reason is null for people.
CREATE TABLE new_events (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    id_hour INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    visitor INTEGER,
    identity INTEGER,
    session INTEGER,
    client_session_id TEXT,
    occurred_at_ms INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    said_at_ms INTEGER,
    url TEXT,
    referrer TEXT,
    landing TEXT,
    user_agent TEXT,
    bot_reason TEXT,
    flags TEXT NOT NULL,
    properties TEXT NOT NULL,
    UNIQUE (account_id, live, id_hour, event_id)
);
INSERT INTO new_events (id, account_id, live, id_hour, event_id, event_type, visitor,
    identity, session, client_session_id, occurred_at_ms, received_at_ms, url, referrer,
    landing, bot_reason, flags, properties)
SELECT id, account_id, live, occurred_at_ms / 3600000, event_id, event_type, visitor,
    identity, session, client_session_id, occurred_at_ms, received_at_ms, url, referrer,
    landing, bot_reason, flags, properties
FROM events;
DROP TABLE events;
ALTER TABLE new_events RENAME TO events;
CREATE INDEX events_by_visitor ON events (account_id, live, visitor, occurred_at_ms);

-- Sessions without an index on their public ids: nobody looks for one by it.
CREATE TABLE new_sessions (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    visitor INTEGER NOT NULL,
    public_id TEXT NOT NULL,
    client_session_id TEXT,
    started_at_ms INTEGER NOT NULL,
    last_event_at_ms INTEGER NOT NULL,
    first_event INTEGER NOT NULL,
    last_event INTEGER NOT NULL,
    page_view_count INTEGER NOT NULL,
    channel TEXT NOT NULL,
    source TEXT,
    medium TEXT,
    campaign TEXT,
    initial_utm TEXT NOT NULL,
    click_ids TEXT NOT NULL,
    landing_url TEXT NOT NULL,
    referrer TEXT,
    flags TEXT NOT NULL,
    list_version TEXT NOT NULL
);
INSERT INTO new_sessions (id, account_id, live, visitor, public_id, client_session_id,
    started_at_ms, last_event_at_ms, first_event, last_event, page_view_count, channel,
    source, medium, campaign, initial_utm, click_ids, landing_url, referrer, flags,
    list_version)
SELECT id, account_id, live, visitor, public_id, client_session_id, started_at_ms,
    last_event_at_ms, first_event, last_event, page_view_count, channel, source, medium,
    campaign, initial_utm, click_ids, landing_url, referrer, flags, list_version
FROM sessions;
DROP TABLE sessions;
ALTER TABLE new_sessions RENAME TO sessions;
CREATE INDEX sessions_by_visitor
    ON sessions (account_id, live, visitor, started_at_ms, channel);
CREATE INDEX sessions_by_time ON sessions (account_id, live, started_at_ms, channel);
