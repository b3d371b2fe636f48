-- Traits with an e-mail and no digest of it: from before 0004, or not with an @ in it.
CREATE INDEX identities_unhashed ON identities (account_id, live)
    WHERE email_hash IS NULL AND instr(traits, '"email"') > 0;
