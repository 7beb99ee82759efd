-- The scheduler's folded state at a position of the log: only ever a shorter way to what the log says.
-- `form` names the shape of the state and the code that folded it; `digest` is of `state` as it stands here.
CREATE TABLE scheduler_snapshots (
    position bigint PRIMARY KEY,
    form text NOT NULL,
    digest text NOT NULL,
    state bytea NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE scheduler_snapshots ALTER COLUMN state SET STORAGE EXTERNAL; -- compressed already
