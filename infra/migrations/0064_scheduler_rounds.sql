-- How far the scheduler's cycles come in the queue: only for metrics, nothing rests on it.
ALTER TABLE consumer_places
    ADD COLUMN cycles bigint NOT NULL DEFAULT 0,
    ADD COLUMN cut bigint NOT NULL DEFAULT 0,
    ADD COLUMN lines bigint NOT NULL DEFAULT 0,
    ADD COLUMN left_over bigint NOT NULL DEFAULT 0;
