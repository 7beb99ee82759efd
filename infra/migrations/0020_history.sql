-- From which position on the read models' history is whole, and up to which it was deleted: what is
-- to be deleted is refused first, so that no answer misses rows that are just being deleted.
CREATE TABLE history_horizon (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    kept_from bigint NOT NULL DEFAULT 0
);
INSERT INTO history_horizon DEFAULT VALUES;

-- The last position recorded at or before a time (microseconds), 0 before the first. Times never fall
-- along the log, so it halves what is left with each look.
CREATE FUNCTION position_at(wanted bigint) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
DECLARE
    low bigint := 0;
    high bigint := coalesce((SELECT max(notification_id) FROM stored_events), 0);
    middle bigint;
    found record;
BEGIN
    WHILE low < high LOOP
        middle := low + (high - low + 1) / 2;
        SELECT notification_id, recorded_at INTO found
        FROM stored_events WHERE notification_id >= middle ORDER BY notification_id LIMIT 1;
        IF found.recorded_at <= wanted THEN
            low := found.notification_id;
        ELSE
            high := middle - 1;
        END IF;
    END LOOP;
    RETURN low;
END
$$;

-- When the last event at or before a position was recorded (microseconds), 0 before the first.
CREATE FUNCTION time_at(wanted bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT coalesce((
        SELECT recorded_at FROM stored_events
        WHERE notification_id <= wanted ORDER BY notification_id DESC LIMIT 1
    ), 0)
$$;
