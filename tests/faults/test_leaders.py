"""F16: leaders that stand still, and hand-overs by the thousand: nothing stale is ever accepted."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from domain.allocation.events import Granted
from domain.errors import StaleWriter
from domain.event import Meta
from domain.project.events import Quota, QuotaSet
from infra.recorder import Epoch
from infra.store import Change, Store, stream_of
from processors.scheduler import ROLE
from tests.faults.cell import RealCell, until
from tests.faults.checks import check_epochs, check_history

HAND_OVERS = 1000
META = Meta(ROLE, "event:1", "trace", "ml")


class Rival:
    """Takes the role again and again, and writes under its epoch until it is refused."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self.refused = self.taken = 0

    def run(self, over: threading.Event) -> None:
        while not over.is_set():
            epoch = self._store.take_role(ROLE, self._name)
            self.taken += 1
            self._write_until_refused(epoch, over)

    def _write_until_refused(self, epoch: Epoch, over: threading.Event) -> None:
        stream = stream_of("project", self._name)
        while not over.is_set():
            version = len(self._store.stream(stream))
            try:
                change = Change(stream, version, [QuotaSet(Quota(version))], META)
                self._store.append([change], epoch=epoch)
            except StaleWriter:
                self.refused += 1
                return


@pytest.mark.timeout(900)
def test_f16_no_stale_write_in_a_thousand_hand_overs(dsn: str) -> None:
    over, rivals, threads = threading.Event(), [], []
    stores = [Store(dsn) for _ in range(3)]
    for number, store in enumerate(stores):
        rivals.append(Rival(store, f"rival-{number}"))
        threads.append(threading.Thread(target=rivals[-1].run, args=(over,)))
        threads[-1].start()
    until(lambda: sum(r.taken for r in rivals) >= HAND_OVERS, "hand-overs", 800)
    over.set()
    for thread in threads:
        thread.join()
    events = stores[0].read(0, 1_000_000)
    check_epochs(events)
    taken, refused = sum(r.taken for r in rivals), sum(r.refused for r in rivals)
    assert taken - len(rivals) <= refused <= taken, "each was refused once another led"
    for store in stores:
        store.close()


def test_f16_a_scheduler_that_stands_still_is_replaced_and_refused(cell: RealCell) -> None:
    """SIGSTOP with its connections open; another leads; SIGCONT: what it decides is refused."""
    cell.start("api")
    cell.start("projector timers")
    cell.start("agent")
    first = cell.start("scheduler")
    until(cell.answers, "the API answers")
    assert cell.ended(cell.submit("before"))["phase"] == "succeeded"
    os.kill(first, signal.SIGSTOP)
    try:
        second = cell.start("scheduler ")
        job = cell.submit("meanwhile")  # the first would decide on it too, if it were let
        assert cell.ended(job)["phase"] == "succeeded"
    finally:
        os.kill(first, signal.SIGCONT)
    log, names = cell.folder / "scheduler.log", ["before", "meanwhile"]
    while "another leader took over" not in log.read_text():  # both decide: one is refused
        names.append(f"after-{len(names)}")
        assert len(names) < 50, log.read_text()
        assert cell.ended(cell.submit(names[-1]))["phase"] == "succeeded"
    assert (cell.processes["scheduler "].pid, cell.processes["scheduler "].poll()) == (second, None)
    events = check_history(cell.store)
    epochs = [item.epoch or 0 for item in events if isinstance(item.event, Granted)]
    assert len(epochs) == len(names)
    assert epochs == sorted(epochs)
    assert [cell.attempts_run(name) for name in names] == [["1"]] * len(names)
