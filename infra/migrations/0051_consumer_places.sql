-- How far a process that decides has read the log: only for metrics, nothing rests on it.
CREATE TABLE consumer_places (
    consumer text PRIMARY KEY,
    position bigint NOT NULL,
    epoch bigint NOT NULL
);
