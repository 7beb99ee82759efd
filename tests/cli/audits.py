"""What audits of the cell answer: as the real process does, of a job that waits."""

from __future__ import annotations

from typing import Any

from tests.cli.cell import NOW, SUBMITTED

THEN = '["job/job-9",4,"p","job.placed.v1",{"attempt":1,"reason":"best_fit"}]'
DIFFERENCE = {
    "fault": "decided_otherwise",
    "position": 31,
    "read": 28,
    "planner": 1,
    "then": THEN,
    "now": THEN.replace("best_fit", "worst_fit"),
}
REPLAY: dict[str, Any] = {
    "from": 0,
    "to": 72,
    "planner": 1,
    "position": 72,
    "events": 72,
    "receipts": 9,
    "decisions": 21,
    "cut_short": 1,
    "before": 3,
    "unconfirmed": 2,
    "passed_over": 1,
    "difference": None,
}


def _entry(place: int, name: str, nodes: list[str], code: str | None, text: str) -> dict[str, Any]:
    return {
        "place": place,
        "job": f"job-{place}",
        "name": name,
        "project": "ml-research",
        "priority": 500,
        "queued_since": SUBMITTED,
        "nodes": nodes,
        "code": code,
        "text": text,
    }


_PLACED = _entry(1, "big", ["node-001"], None, "placed on node-001")
_WAITS = _entry(2, "gpt-large", [], "insufficient_gpu", "Not enough GPUs are free.")
_CYCLE = {
    "read": 28,
    "now": NOW,
    "queue_length": 2,
    "queue": [_PLACED, _WAITS],
    "placed": [_PLACED],
    "placed_total": 1,
}
EXPLAIN: dict[str, Any] = {
    "job": "job-2",
    "name": "gpt-large",
    "position": 72,
    "at": NOW,
    "phase": "queued",
    "decision": {
        "position": 31,
        "at": NOW,
        "name": "job.wait_explained.v1",
        "data": {"reason": {"code": "insufficient_gpu", "nodes": 2}},
        "receipt": 29,
        "step": "plan",
        "read": 28,
        "policy": 1,
        "planner": 1,
        "plan": "ab" * 32,
        "confirmed": True,
        "cycle": _CYCLE,
    },
    "moment": {**_CYCLE, "read": 72, "placed": [], "placed_total": 0},
}


def _report(wait: int, preempted: int) -> dict[str, Any]:
    account = {
        "submitted": 4,
        "placed": 4,
        "ended": 4,
        "preempted": preempted,
        "unplaced": 0,
        "waited": 4,
        "wait_us": 4 * wait,
        "longest_us": 2 * wait,
        "cost_micro": 2_500_000,
        "cpu_milli_us": 10**12,
        "gpu_milli_us": 36 * 10**11,
    }
    return {
        "projects": {"ml-research": account},
        "cpu": {"used_milli_us": 10**12, "there_milli_us": 4 * 10**12},
        "gpu": {"used_milli_us": 36 * 10**11, "there_milli_us": 72 * 10**11},
    }


_REHEARSED = {"cycles": 12, "unknown_ends": 0, "refused": {}}
WHATIF: dict[str, Any] = {
    "from": {"position": 0, "at": SUBMITTED},
    "to": {"position": 72, "at": NOW},
    "window_us": 3_600_000_000,
    "happened": _report(90_000_000, 1),
    "as_recorded": {**_report(91_500_000, 1), **_REHEARSED},
    "as_wished": {**_report(1_500_000, 0), **_REHEARSED, "unknown_ends": 1},
    "assumed": {"leaving_us": None, "starting_us": 0, "left_out": {"job.grace_expired.v1": 1}},
}
ANSWERS = {"replay": REPLAY, "explain": EXPLAIN, "whatif": WHATIF}
