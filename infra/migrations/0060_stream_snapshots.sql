-- A long stream's folded state at a version of it: only ever a shorter way to what the log says.
-- `form` names the code that folded it; `digest` is of `state` as it stands here.
CREATE TABLE stream_snapshots (
    stream text PRIMARY KEY,
    version bigint NOT NULL,
    form text NOT NULL,
    digest text NOT NULL,
    state bytea NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
