"""Group commit: many commands in one transaction, each with its own outcome."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest
from eventsourcing.persistence import OperationalError

from domain.errors import StaleWriter
from domain.event import Meta
from domain.project.events import Created
from domain.values.ids import ProjectId
from infra.commits import MOST_ROWS, GroupCommit
from infra.recorder import Answer, Append, Positions
from infra.store import Change, KeyTaken, Store, VersionConflict, stream_of

META = Meta("ada", "command:1", "trace-1", "ml")
CREATED = Created(ProjectId("ml"), "")


def change(name: str, version: int = 0, events: int = 1) -> Change:
    return Change(stream_of("project", name), version, [CREATED] * events, META)


def held_together(store: Store, calls: Sequence[Callable[[], object]]) -> list[object]:
    """The outcomes of calls that all wait for the same turn, in the order they were made."""
    outcomes: list[object] = [None] * len(calls)

    def go(number: int) -> None:
        try:
            outcomes[number] = calls[number]()
        except Exception as error:  # noqa: BLE001 - an outcome like another
            outcomes[number] = error

    commits = store._commits
    with ThreadPoolExecutor(len(calls)) as pool, commits._turn:
        for number in range(len(calls)):
            pool.submit(go, number)
            while len(commits._waiting) <= number:
                threading.Event().wait(0.001)
    return outcomes


def transactions(dsn: str) -> int:
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SELECT count(DISTINCT xmin::text) FROM stored_events").fetchone()
    assert row is not None
    return int(row[0])


def test_commands_that_wait_share_a_transaction(store: Store, dsn: str) -> None:
    found = held_together(
        store, [partial(store.append, [change(f"p{n}", 0, n + 1)]) for n in range(8)]
    )
    assert [len(item) for item in found] == list(range(1, 9))  # type: ignore[arg-type]
    assert [r for item in found for r in item] == store.read(0)  # type: ignore[attr-defined]
    assert transactions(dsn) == 1


def test_one_commands_refusal_is_no_others(store: Store) -> None:
    store.append([change("taken")])
    over = store.take_role("scheduler", "a")
    epoch = store.take_role("scheduler", "b")
    answer = Answer("ada", "key", "f", 201, b"{}")
    found = held_together(
        store,
        [
            lambda: store.append([change("one")]),
            lambda: store.append([change("taken")]),
            lambda: store.append([change("two"), change("taken")]),
            lambda: store.append([change("three")], answer=answer),
            lambda: store.append([change("four")], answer=answer),
            lambda: store.append([change("five")], epoch=over),
            lambda: store.append([change("six")], epoch=epoch),
            lambda: store.append([change("one")]),
            lambda: store.append([change("one", 1)]),
        ],
    )
    kinds = [type(outcome) for outcome in found]
    assert kinds == [
        list, VersionConflict, VersionConflict, list, KeyTaken, StaleWriter, list,
        VersionConflict, list,
    ]  # fmt: skip
    streams = [r.stream.removeprefix("project/") for r in store.read(0)]
    assert streams == ["taken", "one", "three", "six", "one"]
    saved = store.recall("ada", "key")
    assert saved is not None
    assert saved.position == found[3][0].position  # type: ignore[index]


def test_each_answer_is_saved_with_its_own_position(store: Store) -> None:
    answers = [Answer("ada", f"key-{n}", "f", 201, b"{}") for n in range(5)]
    found = held_together(
        store,
        [partial(store.append, [change(f"p{n}", 0, 2)], answer=answers[n]) for n in range(5)],
    )
    for number, recorded in enumerate(found):
        saved = store.recall("ada", f"key-{number}")
        assert saved is not None
        assert saved.position == recorded[-1].position  # type: ignore[index]


def test_a_failure_is_told_to_all_who_shared_it_and_the_next_go_on() -> None:
    broken = True

    def commit(appends: Sequence[Append]) -> list[Positions]:
        if broken:
            raise OperationalError("away")
        return [([1], 1) for _ in appends]

    commits = GroupCommit(commit)
    for _ in range(2):
        with pytest.raises(OperationalError):
            commits.append(Append([], None, None))
    broken = False
    assert commits.append(Append([], None, None)) == ([1], 1)


def test_a_transaction_has_a_limit() -> None:
    sizes: list[int] = []

    def commit(appends: Sequence[Append]) -> list[Positions]:
        sizes.append(len(appends))
        return [([1], 1) for _ in appends]

    commits = GroupCommit(commit)
    rows = [None] * (MOST_ROWS // 2)
    with ThreadPoolExecutor(5) as pool, commits._turn:
        for number in range(5):
            pool.submit(commits.append, Append(rows, None, None))  # type: ignore[arg-type]
            while len(commits._waiting) <= number:
                threading.Event().wait(0.001)
    assert sizes == [2, 2, 1]
