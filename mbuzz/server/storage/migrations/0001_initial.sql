-- Times are UTC milliseconds, money is integers; account_id leads every key.

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY,
    public_id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    currency TEXT NOT NULL,
    timezone TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
);

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    public_id TEXT NOT NULL UNIQUE,
    email TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL
);

CREATE TABLE logins (
    digest TEXT PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    user_id INTEGER NOT NULL REFERENCES users (id),
    expires_at_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE api_keys (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL REFERENCES accounts (id),
    live INTEGER NOT NULL,
    public_id TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL UNIQUE,
    hint TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    last_used_at_ms INTEGER,
    revoked_at_ms INTEGER
);

CREATE TABLE visitors (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    visitor_id TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    UNIQUE (account_id, live, visitor_id)
);

-- root_id is the identity that this one was merged into; its own id if into none.
CREATE TABLE identities (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    public_id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL,
    root_id INTEGER,
    traits TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    UNIQUE (account_id, live, user_id)
);
CREATE INDEX identities_by_root ON identities (account_id, live, root_id);

-- Who a visitor was, and when; the first link of a visitor reaches back for ever.
-- said_ms is when that was said last, which tells a late word from a new one.
CREATE TABLE links (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    visitor INTEGER NOT NULL REFERENCES visitors (id),
    linked_from_ms INTEGER NOT NULL,
    linked_until_ms INTEGER,
    said_ms INTEGER NOT NULL,
    identity INTEGER NOT NULL REFERENCES identities (id),
    PRIMARY KEY (account_id, live, visitor, linked_from_ms, identity)
) WITHOUT ROWID;
CREATE INDEX links_by_identity ON links (account_id, live, identity);

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    visitor INTEGER NOT NULL REFERENCES visitors (id),
    public_id TEXT NOT NULL UNIQUE,
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
CREATE INDEX sessions_by_visitor
    ON sessions (account_id, live, visitor, started_at_ms, channel);
CREATE INDEX sessions_by_time ON sessions (account_id, live, started_at_ms, channel);

-- landing is null for a direct hit; bot_reason is null for people.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    visitor INTEGER REFERENCES visitors (id),
    identity INTEGER REFERENCES identities (id),
    session INTEGER,
    client_session_id TEXT,
    occurred_at_ms INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    url TEXT,
    referrer TEXT,
    landing TEXT,
    bot_reason TEXT,
    flags TEXT NOT NULL,
    properties TEXT NOT NULL,
    UNIQUE (account_id, live, event_id)
);
CREATE INDEX events_by_visitor ON events (account_id, live, visitor, occurred_at_ms);
CREATE INDEX events_by_session ON events (session) WHERE session IS NOT NULL;

CREATE TABLE conversions (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    public_id TEXT NOT NULL,
    dedupe_key TEXT,
    conversion_type TEXT NOT NULL,
    visitor INTEGER REFERENCES visitors (id),
    identity INTEGER REFERENCES identities (id),
    event INTEGER,
    revenue_minor INTEGER,
    currency TEXT NOT NULL,
    converted_at_ms INTEGER NOT NULL,
    received_at_ms INTEGER NOT NULL,
    is_acquisition INTEGER NOT NULL,
    properties TEXT NOT NULL,
    attributed_version INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account_id, live, public_id),
    UNIQUE (account_id, live, dedupe_key)
);
CREATE INDEX conversions_by_time ON conversions (account_id, live, converted_at_ms);
CREATE INDEX conversions_by_visitor ON conversions (account_id, live, visitor);
CREATE INDEX conversions_by_identity ON conversions (account_id, live, identity);

-- credit in billionths of the conversion, revenue in millionths of the currency unit.
CREATE TABLE credits (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    model TEXT NOT NULL,
    conversion INTEGER NOT NULL REFERENCES conversions (id),
    position INTEGER NOT NULL,
    session INTEGER,
    channel TEXT NOT NULL,
    credit INTEGER NOT NULL,
    revenue INTEGER,
    currency TEXT NOT NULL,
    converted_at_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, live, conversion, model, position)
) WITHOUT ROWID;
CREATE INDEX credits_by_model
    ON credits (account_id, live, model, converted_at_ms, channel, currency, credit, revenue);

-- What a batch with an X-Idempotency-Key was answered.
CREATE TABLE replies (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    reply TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, live, idempotency_key)
) WITHOUT ROWID;
