"""docs/events.md: the consumer it shows, run exactly as it is written there."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from infra.outbox import Anchor, Outbox
from infra.store import Store
from infra.topic import Topic
from tests.processors.kafka_cell import add, cell_on, relay_all
from tests.real_kafka import Broker

PAGE = Path(__file__).parents[2] / "docs" / "events.md"


def test_the_outside_consumer_of_the_page_sees_every_event(
    broker: Broker, store: Store, dsn: str, tmp_path: Path
) -> None:
    text, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len([line for line in text.splitlines() if line.strip()]) <= 11
    script = tmp_path / "consumer.py"
    script.write_text(text)
    cell = cell_on(broker.address, "outside")
    expected = add(store, 0, 5)
    with closing(Outbox(dsn, cell.topic)) as outbox, closing(Topic(cell)) as topic:
        topic.publish(
            outbox.rows(expected[2], 5), Anchor(expected[2], -1)
        )  # what came before is lost
    relay_all(store, dsn, cell)
    running = subprocess.Popen(
        [sys.executable, str(script), broker.address, "outside"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    )
    try:
        assert running.stdout is not None
        before = [running.stdout.readline() for _ in expected]
        expected += add(store, 5, 2)
        relay_all(store, dsn, cell)
        found = before + [running.stdout.readline() for _ in range(2)]
    finally:
        running.kill()
        running.communicate()
    assert [int(line.split()[0]) for line in found] == expected
    assert all(line.split()[2] == "project.created.v1" for line in found)
