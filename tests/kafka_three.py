"""Three real brokers, as an installation has them: each record on all, acknowledged by two."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.real_kafka import Broker, cluster_id, fetch, free_port

_MORE = """
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
"""


@contextmanager
def three() -> Iterator[list[Broker]]:
    """The brokers with nodes 1 to 3, all serving."""
    fetch()
    controllers = [free_port() for _ in range(3)]
    voters = ",".join(f"{n}@127.0.0.1:{port}" for n, port in enumerate(controllers, 1))
    cluster = cluster_id()
    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        brokers = []
        for node, controller in enumerate(controllers, 1):
            folder = tempfile.TemporaryDirectory(
                prefix="compute-kafka-", ignore_cleanup_errors=True
            )
            name = stack.enter_context(folder)
            broker = Broker(free_port(), Path(name), controller, node, voters, cluster, _MORE)
            stack.callback(broker.end)  # two alone cannot agree to stop in order
            brokers.append(broker)
        list(pool.map(Broker.format, brokers))
        list(pool.map(Broker.start, brokers))
        yield brokers
