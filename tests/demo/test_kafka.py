"""The demonstration with every consumer on a real Kafka."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.processors.kafka_cell import cell_on, records
from tests.published import check_record
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
    found = records(cell_on(broker.address, "demo"))
    assert len({dict(record.headers)["ce_type"] for record in found}) > 10
    for record in found:
        check_record({name: value.decode() for name, value in record.headers}, record.value)
