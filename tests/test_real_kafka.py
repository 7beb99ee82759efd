"""The broker that tests and people use is a real one, and comes back after kill -9."""

from __future__ import annotations

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from tests import real_kafka
from tests.real_parts import need


def test_what_was_acknowledged_outlives_a_killed_broker() -> None:
    need(not real_kafka.missing(), real_kafka.missing())
    with real_kafka.kafka() as broker:
        admin = KafkaAdminClient(bootstrap_servers=broker.address)
        admin.create_topics([NewTopic("t", 1, 1)])
        admin.close()
        producer = KafkaProducer(bootstrap_servers=broker.address, enable_idempotence=True)
        for number in range(100):
            producer.send("t", b"%d" % number, partition=0)
        producer.flush()
        broker.kill()
        broker.start()
        for number in range(100, 200):
            producer.send("t", b"%d" % number, partition=0)
        producer.flush()
        producer.close()
        consumer = KafkaConsumer(bootstrap_servers=broker.address, group_id=None)
        consumer.assign([TopicPartition("t", 0)])
        consumer.seek(TopicPartition("t", 0), 0)
        values = [int(next(consumer).value) for _ in range(200)]
        consumer.close()
    assert values == list(range(200))
