"""What is asked of the past is answered as it would have been then, from a replay up to there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.event import Recorded
from domain.job.transitions import Phase
from infra.moments import at_position, at_time
from processors.projector import Connection, connect
from projections import (
    checkpoints,
    cost,
    inventory,
    jobs,
    nodes,
    policy,
    projects,
    queue,
    quota,
    reservations,
    tokens,
    usage,
    waiters,
)
from projections.catalogue import VIEWS
from projections.past import span_of
from projections.usage import GroupBy, Window
from tests.projections.histories import SEEDS, Portions, history
from tests.projections.tables import drop, folded, project_all

SEED = SEEDS[4]
EVENTS = history(SEED)
LAST = EVENTS[-1].position
JOBS = sorted({e.stream.partition("/")[2] for e in EVENTS if e.stream.startswith("job/")})
NODES = sorted({e.stream.partition("/")[2] for e in EVENTS if e.stream.startswith("node/")})
PROJECTS = sorted({e.meta.project for e in EVENTS if e.meta.project})
PHASES = ["queued", "running", "succeeded", "failed", "held"]


@pytest.fixture(scope="module")
def now(server: str) -> Iterator[Connection]:
    """Everything has happened."""
    yield from _database(server, "as_of_now", EVENTS)


@pytest.fixture(scope="module")
def then(server: str) -> Iterator[Connection]:
    """Nothing has happened yet."""
    yield from _database(server, "as_of_then", ())


def _database(server: str, name: str, events: Any) -> Iterator[Connection]:
    from psycopg.conninfo import make_conninfo

    with closing(connect(server)) as outside:
        outside.execute(f"CREATE DATABASE {name} TEMPLATE template_cell".encode())
        dsn = make_conninfo(server, dbname=name)
        with closing(connect(dsn)) as connection:
            _record(connection, events)
            project_all(dsn, Portions(events, [37, 400, 5]))
            yield connection
        outside.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _record(connection: Connection, events: Iterable[Recorded]) -> None:
    """The log of the events: their places and times, which queries ask for."""
    columns = "originator_id, originator_version, topic, state, notification_id, recorded_at"
    with connection.cursor().copy(f"COPY stored_events ({columns}) FROM STDIN".encode()) as copy:
        for e in events:
            copy.write_row((e.stream, e.version, e.event.topic, b"", e.position, e.recorded_at))


Question = Callable[[Connection, int | None, int, int], Any]
"""Takes where to ask, the position, its time, and a number to choose by."""


def _window(at: int) -> Window:
    return Window(None, 0, at)


def _which(pick: int) -> jobs.Filter:
    return jobs.Filter(
        projects=[None, PROJECTS[:1], PROJECTS][pick // 2 % 3],
        phases=[None, PHASES[pick % 5 :], PHASES[pick % 5 :][:1]][pick % 3],
        user=[None, "ada"][pick // 3 % 2],
    )


QUESTIONS: dict[str, Question] = {
    "queue": lambda c, p, _, n: queue.find(c, [None, PROJECTS[:1]][n % 2], 1 + n, p),
    "queue by reason": lambda c, p, _, n: queue.by_reason(c, [None, PROJECTS[:1]][n % 2], p),
    "places": lambda c, p, *_: [queue.place(c, job, p) for job in JOBS],
    "places of many": lambda c, p, *_: queue.places(c, JOBS, p),
    "ahead": lambda c, p, *_: [queue.ahead(c, job, 3, p) for job in JOBS],
    "job": lambda c, p, *_: [jobs.get(c, job, p) for job in JOBS],
    "jobs": lambda c, p, _, n: jobs.find(c, _which(n), None, 1 + n, p),
    "more jobs": lambda c, p, at, n: jobs.find(c, _which(n), (at - n * 10**6, "job-x"), 50, p),
    "in each phase": lambda c, p, _, n: [
        jobs.find(c, jobs.Filter(phases=[phase]), None, 1 + n, p) for phase in Phase
    ],
    "in no phase": lambda c, p, *_: jobs.find(c, jobs.Filter(phases=[]), None, 9, p),
    "blocked": lambda c, p, _, n: jobs.blocked(c, [None, PROJECTS[:1]][n % 2], p),
    "inherited": lambda c, p, *_: waiters.inherited(c, JOBS, p),
    "waited": lambda c, p, at, n: jobs.waited(c, [None, PROJECTS[:1]][n % 2], at + n, p),
    "inventory": lambda c, p, *_: inventory.get(c, p),
    "nodes": lambda c, p, *_: nodes.find(c, p),
    "node": lambda c, p, *_: [nodes.get(c, node, p) for node in NODES],
    "pools": lambda c, p, *_: nodes.pools(c, p),
    "projects": lambda c, p, _, n: projects.find(c, [None, PROJECTS[:1]][n % 2], p),
    "quota": lambda c, p, *_: [quota.get(c, project, p) for project in PROJECTS],
    "usage": lambda c, p, at, n: usage.sums(c, _window(at), list(GroupBy)[n % 3], p),
    "cost": lambda c, p, at, n: cost.sums(c, _window(at), list(GroupBy)[n % 3], p),
    "currency": lambda c, p, *_: cost.currency(c, p),
    "policy": lambda c, p, *_: policy.get(c, p),
    "reservations": lambda c, p, *_: reservations.find(c, p),
    "checkpoints": lambda c, p, *_: [checkpoints.find(c, job, 9, p) for job in JOBS],
    "tokens": lambda c, p, *_: tokens.find(c, p),
}


@given(data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_question_about_the_past_is_answered_as_by_a_replay_up_to_there(
    now: Connection, then: Connection, data: st.DataObject
) -> None:
    position = data.draw(st.integers(0, LAST), label="position")
    pick = data.draw(st.integers(0, 40), label="pick")
    past = [event for event in EVENTS if event.position <= position]
    at = past[-1].recorded_at if past else 0
    drop(then)
    project_all(then.info.dsn, Portions(past))
    for name, ask in QUESTIONS.items():
        assert ask(now, position, at, pick) == ask(then, None, at, pick), name


@given(position=st.integers(0, LAST))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_table_at_a_position_is_the_fold_up_to_there(now: Connection, position: int) -> None:
    expected = folded([event for event in EVENTS if event.position <= position])
    for view in VIEWS:
        for source in (view.at(position), view.at_key(position)):
            records = now.execute(f"SELECT * FROM {source} v".encode()).fetchall()
            rows = expected[view.name]
            found = {tuple(record[name] for name in view.key): record for record in records}
            assert len(found) == len(records), view.name
            for key, record in found.items():
                whole = {name: getattr(rows[key], name) for name in view.constant}
                assert view.read(record | whole) == rows[key], view.name
            assert found.keys() == rows.keys(), view.name


@given(st.integers(0, 2**62), st.integers(1, 2**62), st.data())
def test_a_version_is_filed_where_every_position_within_it_looks(
    position: int, length: int, data: st.DataObject
) -> None:
    end = position + length
    inside = data.draw(st.integers(position, end - 1))
    span = span_of(position, end)
    assert position > inside - 2**span, "else the range of its size would not reach it"
    assert length > 2**span // 2, "else it would be looked at in vain far too often"


def test_a_time_stands_for_the_last_position_recorded_by_then(dsn: str) -> None:
    rows = [(1, 10), (2, 10), (5, 20), (9, 20), (10, 35)]
    with closing(connect(dsn)) as connection:
        assert (at_time(connection, 99).position, at_position(connection, 7).at) == (0, 0)
        for position, at in rows:
            connection.execute(
                "INSERT INTO stored_events (originator_id, originator_version, topic, state,"
                " notification_id, recorded_at) VALUES ('x', %s, 't', '', %s, %s)",
                (position, position, at),
            )
        for wanted in range(40):
            expected = max((p for p, at in rows if at <= wanted), default=0)
            assert at_time(connection, wanted).position == expected
        for wanted in range(12):
            expected = max((at for p, at in rows if p <= wanted), default=0)
            assert at_position(connection, wanted).at == expected
