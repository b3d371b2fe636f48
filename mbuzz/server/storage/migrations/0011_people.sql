-- Traits with an e-mail and no digest of it: from before 0004, or not with an @ in it.
CREATE INDEX identities_unhashed ON identities (account_id, live)
    WHERE email_hash IS NULL AND instr(traits, '"email"') > 0;

-- What visitors who refused to be recognized are told apart by, for a day of theirs.
CREATE TABLE daily_salts (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    day TEXT NOT NULL,
    salt TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (account_id, live, day)
) WITHOUT ROWID;
