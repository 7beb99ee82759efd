"""Every read model, whatever happened and however it was read, is the fold of the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from itertools import cycle

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from domain.event import Recorded
from processors.projector import Projector, connect
from projections.catalogue import VIEWS
from projections.tables import prepare
from tests.projections.histories import SEEDS, Portions, history, topics
from tests.projections.tables import drop, dump, folded, parsed, positions, project_all
from tests.test_events_golden import GOLDEN

SIZES = st.lists(st.integers(1, 300), min_size=1, max_size=5)
LIVES = st.lists(st.integers(1, 8), min_size=1, max_size=4)


def follow(dsn: str, events: Sequence[Recorded], sizes: Sequence[int], lives: Sequence[int]) -> int:
    """Project portions of these sizes by projectors of so many steps each; how many there were."""
    stream = Portions(events, sizes)
    for life, steps in enumerate(cycle(lives), start=1):
        with closing(connect(dsn)) as connection:
            prepare(connection)
            projector = Projector(connection, stream)
            if not all(projector.step() for _ in range(steps)):
                return life
    raise AssertionError("unreachable")


@given(seed=st.sampled_from(SEEDS), length=st.integers(0, 1000), sizes=SIZES, lives=LIVES)
@example(seed=SEEDS[0], length=1000, sizes=[1, 40], lives=[3])
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_rebuild_equals_live(
    dsn: str, seed: int, length: int, sizes: list[int], lives: list[int]
) -> None:
    """Live in portions with restarts, rebuilt into fresh tables, and folded in memory."""
    events = history(seed)[:length]
    with closing(connect(dsn)) as connection:
        drop(connection)
        follow(dsn, events, sizes, lives)
        live, reached = dump(connection), positions(connection)
        drop(connection)
        project_all(dsn, Portions(events))
        assert live == dump(connection)
        assert reached == positions(connection)
        assert parsed(live) == folded(events)


def test_every_read_model_is_rebuilt_from_a_whole_history(dsn: str) -> None:
    with closing(connect(dsn)) as connection:
        for seed in SEEDS:
            drop(connection)
            assert follow(dsn, history(seed), [7, 150, 31], [2, 5]) > 1
            live = dump(connection)
            assert parsed(live) == folded(history(seed))
            drop(connection)
            project_all(dsn, Portions(history(seed)))
            assert live == dump(connection)


def test_in_the_histories_happens_everything_that_can_happen() -> None:
    happened = set[str]().union(*(topics(history(seed)) for seed in SEEDS))
    assert happened == set(json.loads(GOLDEN.read_text())), "choose other SEEDS"


def test_every_read_model_holds_something_in_the_middle_of_a_history() -> None:
    """Else the comparisons above would hold for tables that nothing ever fills."""
    halves = [folded(history(seed)[: len(history(seed)) // 2]) for seed in SEEDS]
    empty = [view.name for view in VIEWS if not any(half[view.name] for half in halves)]
    assert not empty
