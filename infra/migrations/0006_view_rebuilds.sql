-- Rebuilds of read models that were asked for: the new table grows beside the one in use, which is
-- exchanged for it at the end. One row a view: its newest rebuild.
CREATE TABLE view_rebuilds (
    view text PRIMARY KEY,
    position bigint NOT NULL DEFAULT 0,
    requested_by text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at timestamptz,
    error text
);
