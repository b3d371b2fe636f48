-- Keys that end by themselves.

ALTER TABLE api_keys ADD COLUMN expires_at_ms INTEGER;
