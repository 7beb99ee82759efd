"""F23: histories that earlier code recorded are read, and lead to the states they led to then.

Where a state rightly changes (a read model gained a column), say so in CHANGELOG.md and record
anew by `python -m tests.golden VERSION`; where an event cannot be read, mend the reading.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.checks import check_epochs
from tests.golden.histories import load, recorded, states
from tests.simulation.invariants import Checker
from tests.simulation.loop import Loop, Trace


def test_there_are_histories() -> None:
    assert recorded()


@pytest.mark.parametrize("path", recorded(), ids=lambda path: path.name)
def test_f23_an_old_history_leads_to_the_same_states(path: Path) -> None:
    expected, events = load(path)
    assert len(events) > 100
    assert states(events) == expected
    checker = Checker(Trace(Loop()), {})
    for event in events:
        checker.one(event)
    check_epochs(events)
