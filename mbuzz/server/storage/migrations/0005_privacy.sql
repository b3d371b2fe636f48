-- What erasing, exporting and forgetting people need, and the jobs that do it.

-- The events of a sealed session are deleted: it can no longer be folded again.
ALTER TABLE sessions ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0;
-- Sessions that a frozen conversion was credited to are deleted: its credits stay.
ALTER TABLE conversions ADD COLUMN frozen INTEGER NOT NULL DEFAULT 0;

-- The same columns as before, those first by which a deleted parent looks for its
-- children; else every deleted visitor reads these tables from end to end.
DROP INDEX conversions_by_visitor;
CREATE INDEX conversions_by_visitor ON conversions (visitor, account_id, live);
DROP INDEX conversions_by_identity;
CREATE INDEX conversions_by_identity ON conversions (identity, account_id, live);
DROP INDEX links_by_identity;
CREATE INDEX links_by_identity ON links (identity, account_id, live);
CREATE INDEX links_by_visitor ON links (visitor);
CREATE INDEX memberships_by_group ON memberships (member_of);
CREATE INDEX memberships_by_identity ON memberships (identity)
    WHERE identity IS NOT NULL;
CREATE INDEX memberships_by_visitor ON memberships (visitor)
    WHERE visitor IS NOT NULL;
CREATE INDEX credits_by_conversion ON credits (conversion);
CREATE INDEX credits_by_session ON credits (account_id, live, session)
    WHERE session IS NOT NULL;
CREATE INDEX events_by_identity ON events (account_id, live, identity)
    WHERE identity IS NOT NULL;
CREATE INDEX events_of_bots ON events (account_id, live, id_hour)
    WHERE bot_reason IS NOT NULL;
CREATE INDEX replies_by_time ON replies (account_id, live, created_at_ms);

-- Ids of erased people, events and orders, as digests under the secret: what still
-- arrives for them is dropped until then.
CREATE TABLE suppression_secrets (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    secret TEXT NOT NULL,
    PRIMARY KEY (account_id, live)
) WITHOUT ROWID;
CREATE TABLE suppressions (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    digest TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, live, digest)
) WITHOUT ROWID;

-- What was asked to be erased, and how far that is. scope has row numbers, no ids of
-- people, and is empty once it is done; scrubbed says that the journal is empty, too.
CREATE TABLE erasures (
    id INTEGER PRIMARY KEY,
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    public_id TEXT NOT NULL UNIQUE,
    actor TEXT NOT NULL,
    status TEXT NOT NULL,
    scope TEXT NOT NULL,
    counts TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER,
    scrubbed INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX erasures_open ON erasures (status, scrubbed);

-- Work that comes again and again: when it is due, and who is at it.
CREATE TABLE jobs (
    name TEXT PRIMARY KEY,
    due_ms INTEGER NOT NULL,
    claimed_by TEXT,
    claimed_until_ms INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL DEFAULT 'new',
    said TEXT NOT NULL DEFAULT '',
    failures INTEGER NOT NULL DEFAULT 0,
    started_at_ms INTEGER,
    finished_at_ms INTEGER
) WITHOUT ROWID;
