-- The event log: the table of eventsourcing's PostgresApplicationRecorder with text stream ids,
-- and the time of recording, taken under the append lock so that it never falls.
CREATE TABLE stored_events (
    originator_id text NOT NULL,
    originator_version bigint NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigserial NOT NULL,
    recorded_at bigint NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
);
CREATE UNIQUE INDEX stored_events_notification_id_idx ON stored_events (notification_id);
CREATE INDEX stored_events_recorded_at_idx ON stored_events USING brin (recorded_at);

-- One answer per (principal, key), written in the transaction of its events.
CREATE TABLE idempotency (
    principal text NOT NULL,
    key text NOT NULL,
    fingerprint text NOT NULL,
    status int NOT NULL,
    response bytea NOT NULL,
    position bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (principal, key)
);
CREATE INDEX idempotency_created_at_idx ON idempotency (created_at);

-- Fencing: a leader's epoch, raised by whoever takes the role over.
CREATE TABLE leaders (
    role text PRIMARY KEY,
    epoch bigint NOT NULL,
    holder text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Fails the transaction unless `given` is still the role's epoch; a take-over waits for it.
CREATE FUNCTION assert_epoch(wanted_role text, given bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM leaders WHERE role = wanted_role AND epoch = given FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'epoch % of % is over', given, wanted_role USING ERRCODE = 'CP001';
    END IF;
END
$$;
