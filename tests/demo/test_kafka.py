"""The demonstration with every consumer on a real Kafka."""

from __future__ import annotations

import os
import subprocess
import sys

from kafka import KafkaConsumer

from tests.real_kafka import Broker


def test_the_story_holds_with_projector_and_scheduler_on_kafka(broker: Broker) -> None:
    settings = {"COMPUTE_KAFKA": broker.address, "COMPUTE_FOLLOW": "kafka", "COMPUTE_CELL": "demo"}
    done = subprocess.run(
        [sys.executable, "-m", "demo", "--no-docker", "--seconds", "8"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything above was checked" in done.stdout
    consumer = KafkaConsumer(bootstrap_servers=broker.address, group_id=None)
    try:
        assert "compute.demo.events" in consumer.topics()
    finally:
        consumer.close()
