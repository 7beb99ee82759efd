-- Streams that a consumer of the log holds back since an event it could not take: operational state,
-- found anew by reading the log. Only a discard is an event. `stops` says that the consumer stands
-- still because of it; `retry`, that it should try again.
CREATE TABLE quarantine (
    consumer text NOT NULL,
    stream text NOT NULL,
    position bigint NOT NULL,
    version bigint NOT NULL,
    name text NOT NULL,
    error text NOT NULL,
    stops boolean NOT NULL DEFAULT false,
    retry boolean NOT NULL DEFAULT false,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, stream)
);

-- A rebuild asked for as a retry takes what it finds, also where the new table holds more streams back.
ALTER TABLE view_rebuilds ADD COLUMN retry boolean NOT NULL DEFAULT false;
