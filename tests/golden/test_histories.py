"""F23: histories that earlier code recorded are read, and lead to the states they led to then.

A new field is no difference. Where a state rightly changes, say so in CHANGELOG.md and record
anew by `python -m tests.golden VERSION`; where an event cannot be read, mend the reading.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.checks import check_epochs
from tests.golden.histories import differences, load, recorded, states
from tests.simulation.invariants import Checker
from tests.simulation.loop import Loop, Trace


def test_there_are_histories() -> None:
    assert recorded()


@pytest.mark.parametrize("path", recorded(), ids=lambda path: path.name)
def test_f23_an_old_history_leads_to_the_same_states(path: Path) -> None:
    expected, events = load(path)
    assert len(events) > 100
    assert differences(expected, states(events)) == []
    checker = Checker(Trace(Loop()), {})
    for event in events:
        checker.one(event)
    check_epochs(events)


def test_what_changed_is_named_and_what_is_new_is_not() -> None:
    then = {"jobs": {"a": {"phase": "queued", "seats": [1, 2]}}}
    assert differences(then, {"jobs": {"a": {"phase": "queued", "seats": [1, 2], "more": 1}}}) == []
    assert differences(then, {"jobs": {"a": {"phase": "held", "seats": [1, 2]}}}) == [
        "/jobs/a/phase: queued was, held is"
    ]
    assert differences(then, {"jobs": {}}) == ["/jobs/a is gone"]
    assert len(differences(then, {"jobs": {"a": {"phase": "queued", "seats": [1]}}})) == 1
