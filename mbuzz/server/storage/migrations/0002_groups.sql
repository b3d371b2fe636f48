-- Groups, such as companies: what is known of each, and who is in it.

-- said has the time of each trait's latest word, said_ms that of the whole group's.
CREATE TABLE groups (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    group_id TEXT NOT NULL,
    traits TEXT NOT NULL,
    said TEXT NOT NULL,
    said_ms INTEGER NOT NULL,
    UNIQUE (account_id, live, group_id)
);

-- A member is an identity, or a visitor, whose links tell who that is.
CREATE TABLE memberships (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    member_of INTEGER NOT NULL REFERENCES groups (id),
    identity INTEGER REFERENCES identities (id),
    visitor INTEGER REFERENCES visitors (id),
    since_ms INTEGER NOT NULL,
    CHECK ((identity IS NULL) <> (visitor IS NULL)),
    UNIQUE (account_id, live, member_of, identity),
    UNIQUE (account_id, live, member_of, visitor)
);

-- The calls that were carried out: the same one again changes nothing.
CREATE TABLE group_calls (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    call_id TEXT NOT NULL,
    PRIMARY KEY (account_id, live, call_id)
) WITHOUT ROWID;
