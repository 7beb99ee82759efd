-- How far the log was relayed to each Kafka topic: the position of the last event that all replicas
-- acknowledged, and the offset its record got. At its start the relay looks there for that record:
-- if it is gone, the topic lost data and is filled again from the log.
CREATE TABLE relay_positions (
    topic text PRIMARY KEY,
    position bigint NOT NULL,
    kafka_offset bigint NOT NULL
);
