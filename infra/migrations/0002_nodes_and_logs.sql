-- Node leases: operational state, not history; only their loss is an event.
CREATE TABLE node_leases (
    node text PRIMARY KEY,
    boot text NOT NULL,
    nonce text NOT NULL,
    previous_nonce text NOT NULL,
    expires_at timestamptz NOT NULL,
    lost boolean NOT NULL DEFAULT false
);

-- What a seat printed. start counts bytes of the job's stream for that rank, over all attempts;
-- seat_size counts bytes of the newest attempt's seat.
CREATE TABLE job_log_heads (
    job_id text NOT NULL,
    rank int NOT NULL,
    attempt int NOT NULL,
    size bigint NOT NULL,
    seat_size bigint NOT NULL,
    PRIMARY KEY (job_id, rank)
);
CREATE TABLE job_logs (
    job_id text NOT NULL,
    rank int NOT NULL,
    start bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (job_id, rank, start)
);
ALTER TABLE job_logs ALTER COLUMN data SET STORAGE EXTERNAL;

-- The newest usage sample of each seat.
CREATE TABLE seat_samples (
    allocation_id text NOT NULL,
    rank int NOT NULL,
    job_id text NOT NULL,
    sampled_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    cpu_milli bigint NOT NULL,
    memory_bytes bigint NOT NULL,
    gpus jsonb NOT NULL,
    PRIMARY KEY (allocation_id, rank)
);

-- How far each read model has come; `layout` is the hash of its columns.
CREATE TABLE view_positions (
    view text PRIMARY KEY,
    position bigint NOT NULL,
    layout text NOT NULL
);
