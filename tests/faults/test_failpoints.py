"""F01 to F05: kill -9 at every failpoint there is; nothing acknowledged is lost, nothing twice."""

from __future__ import annotations

import ast
from collections import Counter

import pytest

from domain.job.events import Submitted
from tests.faults.cell import TOP, RealCell, until
from tests.faults.checks import check_history, check_views

PROCESSORS = "projector scheduler timers"
FOLDERS = ("agents", "api", "infra", "processors", "projections")


def registry() -> list[str]:
    """The name of every failpoint in the code."""
    found = []
    for path in sorted(p for folder in FOLDERS for p in (TOP / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "failpoint":
                [name] = node.args
                assert isinstance(name, ast.Constant), f"{path}: its name must be spelled out"
                found.append(str(name.value))
    return found


NAMES = registry()
KILLED_BY_KAFKA = {name for name in NAMES if name.startswith("relay.")}
"""Killed in tests/processors, with a broker."""

LIMITED = {"script": "sleep 600", "time_limit_seconds": 1, "grace_seconds": 1}
"""A job that timers must end."""


@pytest.fixture(scope="module")
def running(cell: RealCell) -> RealCell:
    """The cell with everything up."""
    for name in ("api", PROCESSORS, "agent"):
        cell.start(name)
    until(cell.answers, "the API answers")
    return cell


def process_of(name: str) -> str:
    return {"api": "api", "agent": "agent"}.get(name.partition(".")[0], PROCESSORS)


def test_every_failpoint_has_one_name_and_its_process() -> None:
    assert [name for name, times in Counter(NAMES).items() if times > 1] == []
    known = {"api", "agent", "projector", "relay", "scheduler", "timers"}
    assert {name.partition(".")[0] for name in NAMES} == known


@pytest.mark.parametrize("name", [name for name in NAMES if name not in KILLED_BY_KAFKA])
def test_killed_at_any_failpoint_it_goes_on(running: RealCell, name: str) -> None:
    """F01 (api), F02 (scheduler, timers), F03 (projector), F05 (agent)."""
    process, job = process_of(name), name.replace(".", "-").replace("_", "-")
    running.kill(process)
    running.start(process, failpoint=name)
    if name == "timers.node_lost":
        running.kill("agent")
    fields = LIMITED if name in ("timers.due", "timers.recorded") else {}
    unanswered = name.startswith("api.command.")
    if unanswered:
        until(lambda: running.try_to_submit(job) is None and running.died_there(process), name)
    submitted = "" if unanswered else running.submit(job, **fields)
    until(lambda: running.died_there(process), f"{name} is reached")
    running.start(process)
    if name == "timers.node_lost":
        running.start("agent")
    submitted = submitted or running.submit(job)
    ended = running.ended(submitted)
    assert ended["phase"] == ("timed_out" if fields else "succeeded"), ended
    ran = running.attempts_run(job)
    assert len(set(ran)) == len(ran), "an attempt ran twice"
    assert len(ran) >= 1
    events = check_history(running.store)
    found = [r.event for r in events if isinstance(r.event, Submitted)]
    assert [event.job for event in found if event.spec.name == job] == [submitted]
    check_views(running.dsn, running.store)
