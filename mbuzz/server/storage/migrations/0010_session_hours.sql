-- What reports count of sessions, kept by triggers in the transaction that changes a
-- session, so that no code can forget it. A later step that makes `sessions` anew must
-- make the triggers anew as well. `mbuzz db check` compares; `mbuzz db repair` rebuilds.

CREATE TABLE session_hours (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    channel TEXT NOT NULL,
    sessions INTEGER NOT NULL,
    page_views INTEGER NOT NULL,
    PRIMARY KEY (account_id, live, hour, channel)
) WITHOUT ROWID;
INSERT INTO session_hours (account_id, live, hour, channel, sessions, page_views)
SELECT account_id, live, started_at_ms / 3600000, channel, COUNT(*),
    SUM(page_view_count)
FROM sessions GROUP BY 1, 2, 3, 4;

-- When the visitor's session before this one began: visitors of a period are its
-- sessions less those whose visitor was there in it before. Of sessions that began at
-- the same time the one of the lower id is the earlier.
ALTER TABLE sessions ADD COLUMN previous_ms INTEGER;
UPDATE sessions SET previous_ms = told.previous_ms FROM (
    SELECT id, LAG(started_at_ms) OVER (PARTITION BY account_id, live, visitor
        ORDER BY started_at_ms, id) AS previous_ms FROM sessions
) AS told WHERE told.previous_ms IS NOT NULL AND sessions.id = told.id;

-- Channels are counted in hours; of the rest nothing is read from this index alone.
DROP INDEX sessions_by_time;
CREATE INDEX sessions_by_time ON sessions (account_id, live, started_at_ms);
CREATE INDEX sessions_of_returning
    ON sessions (account_id, live, previous_ms, started_at_ms)
    WHERE previous_ms IS NOT NULL;

-- Those sessions by the hour of previous_ms.
CREATE TABLE return_hours (
    account_id INTEGER NOT NULL,
    live INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    sessions INTEGER NOT NULL,
    PRIMARY KEY (account_id, live, hour)
) WITHOUT ROWID;
INSERT INTO return_hours (account_id, live, hour, sessions)
SELECT account_id, live, previous_ms / 3600000, COUNT(*)
FROM sessions WHERE previous_ms IS NOT NULL GROUP BY 1, 2, 3;

CREATE TRIGGER session_hours_begun AFTER INSERT ON sessions BEGIN
    INSERT INTO session_hours (account_id, live, hour, channel, sessions, page_views)
    VALUES (NEW.account_id, NEW.live, NEW.started_at_ms / 3600000, NEW.channel, 1,
        NEW.page_view_count)
    ON CONFLICT (account_id, live, hour, channel) DO UPDATE SET
        sessions = sessions + 1, page_views = page_views + excluded.page_views;
END;

CREATE TRIGGER session_hours_longer AFTER UPDATE OF page_view_count ON sessions
WHEN NEW.page_view_count <> OLD.page_view_count
    AND NEW.account_id = OLD.account_id AND NEW.live = OLD.live
    AND NEW.started_at_ms / 3600000 = OLD.started_at_ms / 3600000
    AND NEW.channel = OLD.channel
BEGIN
    UPDATE session_hours
    SET page_views = page_views + NEW.page_view_count - OLD.page_view_count
    WHERE account_id = OLD.account_id AND live = OLD.live
        AND hour = OLD.started_at_ms / 3600000 AND channel = OLD.channel;
END;

CREATE TRIGGER session_hours_moved
AFTER UPDATE OF account_id, live, started_at_ms, channel ON sessions
WHEN NEW.account_id <> OLD.account_id OR NEW.live <> OLD.live
    OR NEW.started_at_ms / 3600000 <> OLD.started_at_ms / 3600000
    OR NEW.channel <> OLD.channel
BEGIN
    UPDATE session_hours
    SET sessions = sessions - 1, page_views = page_views - OLD.page_view_count
    WHERE account_id = OLD.account_id AND live = OLD.live
        AND hour = OLD.started_at_ms / 3600000 AND channel = OLD.channel;
    DELETE FROM session_hours
    WHERE account_id = OLD.account_id AND live = OLD.live
        AND hour = OLD.started_at_ms / 3600000 AND channel = OLD.channel
        AND sessions = 0;
    INSERT INTO session_hours (account_id, live, hour, channel, sessions, page_views)
    VALUES (NEW.account_id, NEW.live, NEW.started_at_ms / 3600000, NEW.channel, 1,
        NEW.page_view_count)
    ON CONFLICT (account_id, live, hour, channel) DO UPDATE SET
        sessions = sessions + 1, page_views = page_views + excluded.page_views;
END;

CREATE TRIGGER session_hours_gone AFTER DELETE ON sessions BEGIN
    UPDATE session_hours
    SET sessions = sessions - 1, page_views = page_views - OLD.page_view_count
    WHERE account_id = OLD.account_id AND live = OLD.live
        AND hour = OLD.started_at_ms / 3600000 AND channel = OLD.channel;
    DELETE FROM session_hours
    WHERE account_id = OLD.account_id AND live = OLD.live
        AND hour = OLD.started_at_ms / 3600000 AND channel = OLD.channel
        AND sessions = 0;
END;

-- Most visitors are new, and for them there is nothing to do.
CREATE TRIGGER session_previous_begun AFTER INSERT ON sessions
WHEN EXISTS (SELECT 1 FROM sessions o WHERE o.account_id = NEW.account_id
    AND o.live = NEW.live AND o.visitor = NEW.visitor AND o.id <> NEW.id)
BEGIN
    UPDATE sessions SET previous_ms = (
        SELECT p.started_at_ms FROM sessions p WHERE p.account_id = NEW.account_id
            AND p.live = NEW.live AND p.visitor = NEW.visitor
            AND p.started_at_ms <= sessions.started_at_ms
            AND (p.started_at_ms < sessions.started_at_ms OR p.id < sessions.id)
        ORDER BY p.started_at_ms DESC LIMIT 1)
    WHERE account_id = NEW.account_id AND live = NEW.live AND visitor = NEW.visitor
        AND started_at_ms >= NEW.started_at_ms
        AND started_at_ms <= (SELECT COALESCE(MIN(n.started_at_ms), NEW.started_at_ms)
            FROM sessions n WHERE n.account_id = NEW.account_id AND n.live = NEW.live
            AND n.visitor = NEW.visitor AND n.started_at_ms > NEW.started_at_ms);
END;

CREATE TRIGGER session_previous_moved
AFTER UPDATE OF account_id, live, visitor, started_at_ms ON sessions
WHEN NEW.account_id <> OLD.account_id OR NEW.live <> OLD.live
    OR NEW.visitor <> OLD.visitor OR NEW.started_at_ms <> OLD.started_at_ms
BEGIN
    UPDATE return_hours SET sessions = sessions - 1
    WHERE account_id = OLD.account_id AND live = OLD.live
        AND hour = OLD.previous_ms / 3600000;
    INSERT INTO return_hours (account_id, live, hour, sessions)
    SELECT NEW.account_id, NEW.live, OLD.previous_ms / 3600000, 1
    WHERE OLD.previous_ms IS NOT NULL
    ON CONFLICT (account_id, live, hour) DO UPDATE SET sessions = sessions + 1;
    DELETE FROM return_hours
    WHERE account_id = OLD.account_id AND live = OLD.live
        AND hour = OLD.previous_ms / 3600000 AND sessions = 0;
    UPDATE sessions SET previous_ms = (
        SELECT p.started_at_ms FROM sessions p WHERE p.account_id = OLD.account_id
            AND p.live = OLD.live AND p.visitor = OLD.visitor
            AND p.started_at_ms <= sessions.started_at_ms
            AND (p.started_at_ms < sessions.started_at_ms OR p.id < sessions.id)
        ORDER BY p.started_at_ms DESC LIMIT 1)
    WHERE account_id = OLD.account_id AND live = OLD.live AND visitor = OLD.visitor
        AND started_at_ms >= OLD.started_at_ms
        AND started_at_ms <= (SELECT COALESCE(MIN(n.started_at_ms), OLD.started_at_ms)
            FROM sessions n WHERE n.account_id = OLD.account_id AND n.live = OLD.live
            AND n.visitor = OLD.visitor AND n.started_at_ms > OLD.started_at_ms);
    UPDATE sessions SET previous_ms = (
        SELECT p.started_at_ms FROM sessions p WHERE p.account_id = NEW.account_id
            AND p.live = NEW.live AND p.visitor = NEW.visitor
            AND p.started_at_ms <= sessions.started_at_ms
            AND (p.started_at_ms < sessions.started_at_ms OR p.id < sessions.id)
        ORDER BY p.started_at_ms DESC LIMIT 1)
    WHERE account_id = NEW.account_id AND live = NEW.live AND visitor = NEW.visitor
        AND started_at_ms >= NEW.started_at_ms
        AND started_at_ms <= (SELECT COALESCE(MIN(n.started_at_ms), NEW.started_at_ms)
            FROM sessions n WHERE n.account_id = NEW.account_id AND n.live = NEW.live
            AND n.visitor = NEW.visitor AND n.started_at_ms > NEW.started_at_ms);
END;

CREATE TRIGGER session_previous_gone AFTER DELETE ON sessions
WHEN EXISTS (SELECT 1 FROM sessions o WHERE o.account_id = OLD.account_id
    AND o.live = OLD.live AND o.visitor = OLD.visitor)
BEGIN
    UPDATE sessions SET previous_ms = (
        SELECT p.started_at_ms FROM sessions p WHERE p.account_id = OLD.account_id
            AND p.live = OLD.live AND p.visitor = OLD.visitor
            AND p.started_at_ms <= sessions.started_at_ms
            AND (p.started_at_ms < sessions.started_at_ms OR p.id < sessions.id)
        ORDER BY p.started_at_ms DESC LIMIT 1)
    WHERE account_id = OLD.account_id AND live = OLD.live AND visitor = OLD.visitor
        AND started_at_ms >= OLD.started_at_ms
        AND started_at_ms <= (SELECT COALESCE(MIN(n.started_at_ms), OLD.started_at_ms)
            FROM sessions n WHERE n.account_id = OLD.account_id AND n.live = OLD.live
            AND n.visitor = OLD.visitor AND n.started_at_ms > OLD.started_at_ms);
END;

CREATE TRIGGER return_hours_changed AFTER UPDATE OF previous_ms ON sessions
WHEN NEW.previous_ms IS NOT OLD.previous_ms
BEGIN
    UPDATE return_hours SET sessions = sessions - 1
    WHERE account_id = OLD.account_id AND live = OLD.live
        AND hour = OLD.previous_ms / 3600000;
    DELETE FROM return_hours
    WHERE account_id = OLD.account_id AND live = OLD.live
        AND hour = OLD.previous_ms / 3600000 AND sessions = 0;
    INSERT INTO return_hours (account_id, live, hour, sessions)
    SELECT NEW.account_id, NEW.live, NEW.previous_ms / 3600000, 1
    WHERE NEW.previous_ms IS NOT NULL
    ON CONFLICT (account_id, live, hour) DO UPDATE SET sessions = sessions + 1;
END;

CREATE TRIGGER return_hours_gone AFTER DELETE ON sessions
WHEN OLD.previous_ms IS NOT NULL
BEGIN
    UPDATE return_hours SET sessions = sessions - 1
    WHERE account_id = OLD.account_id AND live = OLD.live
        AND hour = OLD.previous_ms / 3600000;
    DELETE FROM return_hours
    WHERE account_id = OLD.account_id AND live = OLD.live
        AND hour = OLD.previous_ms / 3600000 AND sessions = 0;
END;
