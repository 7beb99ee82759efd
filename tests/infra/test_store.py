"""The event store on a real Postgres."""

from __future__ import annotations

import threading

import pytest

from domain.access import Role
from domain.errors import StaleWriter, Unavailable
from domain.event import Event, Meta, Recorded
from domain.project.events import Created, MemberSet
from domain.project.project import Project, evolve, set_member
from domain.values.ids import ProjectId
from infra.recorder import Answer
from infra.store import Change, KeyTaken, Store, VersionConflict, stream_of

META = Meta("ada", "command:1", "trace-1", "ml")
STREAM = stream_of("project", "ml")
CREATED = Created(ProjectId("ml"), "")


def test_what_is_appended_is_read_back_with_its_envelope(store: Store) -> None:
    [recorded] = store.append([Change(STREAM, 0, [CREATED], META)])
    assert store.read(0) == [recorded]
    assert store.stream(STREAM) == [recorded]
    assert recorded.version == 1
    assert recorded.meta == META
    assert store.head() == recorded.position


def test_what_is_larger_than_any_socket_buffer_is_appended_whole(store: Store) -> None:
    large = Created(ProjectId("ml"), "x" * 2000)
    streams = [stream_of("project", f"ml-{number}") for number in range(4000)]
    answer = Answer("ada", "key", "f", 201, b"y" * 2_000_000)
    recorded = store.append([Change(each, 0, [large], META) for each in streams], answer=answer)
    assert [each.stream for each in recorded] == streams
    assert store.read(0, limit=5000) == recorded
    saved = store.recall("ada", "key")
    assert saved is not None
    assert saved.response == answer.response


def test_a_rival_on_the_same_version_is_refused_and_nothing_stored(store: Store) -> None:
    store.append([Change(STREAM, 0, [CREATED], META)])
    other = stream_of("project", "other")
    with pytest.raises(VersionConflict):
        store.append([Change(other, 0, [CREATED], META), Change(STREAM, 0, [CREATED], META)])
    assert store.stream(other) == []


def test_execute_decides_anew_after_a_rival(store: Store) -> None:
    store.append([Change(STREAM, 0, [CREATED], META)])
    names = [f"user-{n}" for n in range(8)]

    def add(name: str) -> None:
        def command(project: Project | None) -> list[Event]:
            assert project is not None
            return list(set_member(project, name, Role.VIEWER))

        for _ in range(10):
            try:
                store.execute(STREAM, evolve, None, command, META)
            except VersionConflict:
                continue
            return

    threads = [threading.Thread(target=add, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    project, version = store.load(STREAM, evolve, None)
    assert project is not None
    assert sorted(name for name, _ in project.members) == names
    assert version == 9


def test_a_key_is_answered_once(store: Store) -> None:
    answer = Answer("ada", "key-1", "f1", 201, b"{}")
    [recorded] = store.append([Change(STREAM, 0, [CREATED], META)], answer=answer)
    saved = store.recall("ada", "key-1")
    assert saved is not None
    assert (saved.fingerprint, saved.status, saved.response) == ("f1", 201, b"{}")
    assert saved.position == recorded.position
    with pytest.raises(KeyTaken):
        store.append([Change(stream_of("project", "b"), 0, [CREATED], META)], answer=answer)
    assert store.stream(stream_of("project", "b")) == []
    assert store.recall("ben", "key-1") is None


def test_an_epoch_that_is_over_cannot_write(store: Store) -> None:
    first = store.take_role("scheduler", "a")
    store.append([Change(STREAM, 0, [CREATED], META)], epoch=first)
    second = store.take_role("scheduler", "b")
    with pytest.raises(StaleWriter):
        store.append([Change(STREAM, 1, [CREATED], META)], epoch=first)
    [recorded] = store.append([Change(STREAM, 1, [CREATED], META)], epoch=second)
    assert recorded.epoch == second.number


def test_time_never_falls_and_order_is_that_of_commits(store: Store) -> None:
    """4 writers and a tailing reader: every event is seen, once, in order."""
    each, writers = 150, 4
    seen: list[Recorded] = []
    done = threading.Event()

    def write(writer: int) -> None:
        for n in range(each):
            change = Change(stream_of("project", f"w{writer}-{n}"), 0, [CREATED, CREATED], META)
            store.append([change])

    def tail() -> None:
        while True:
            finished = done.is_set()
            batch = store.read(seen[-1].position if seen else 0, 100)
            seen.extend(batch)
            if finished and not batch:
                return

    reader = threading.Thread(target=tail)
    reader.start()
    threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.set()
    reader.join()
    assert len(seen) == each * writers * 2
    positions = [item.position for item in seen]
    assert positions == sorted(set(positions))
    times = [item.recorded_at for item in seen]
    assert times == sorted(times)


def test_events_after_a_reconnect(store: Store) -> None:
    member = MemberSet("ada", Role.VIEWER)
    store.append([Change(STREAM, 0, [CREATED, member], META)])
    assert [item.event for item in store.stream(STREAM, after=1)] == [member]


def test_a_store_that_cannot_open_leaves_no_thread_that_goes_on_trying() -> None:
    before = set(threading.enumerate())
    with pytest.raises(Unavailable) as caught:
        Store("host=/nonexistent dbname=none")
    assert set(threading.enumerate()) <= before, caught
