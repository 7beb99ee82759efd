"""What the demonstration claims, checked against the log and the output."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from domain.values.money import charge
from domain.values.quantity import GIB
from domain.values.time import SECOND, from_datetime


def check(holds: bool, claim: str) -> None:
    """Stop with exit code 1 if a claim does not hold."""
    if not holds:
        raise SystemExit(f"NOT TRUE: {claim}")


def check_epochs(output: str) -> list[str]:
    """Each resumption went on from the last save; the epoch counter never fell after it."""
    facts = []
    saved: set[int] = set()
    last_saved = 0
    for line in output.splitlines():
        if match := re.fullmatch(r"saved after epoch (\d+)", line):
            last_saved = int(match[1])
            saved.add(last_saved)
        if match := re.fullmatch(r"resumed after epoch (\d+)", line):
            epoch = int(match[1])
            check(epoch in saved, f"it resumed from a checkpoint it had saved (epoch {epoch})")
            check(epoch == last_saved, f"it resumed from its newest checkpoint (epoch {epoch})")
            facts.append(f"training resumed after epoch {epoch}, where it had saved")
    check(bool(facts), "the training resumed from a checkpoint")
    final = re.search(r"done: (\d+) epochs, accuracy (\d\.\d+)", output)
    assert final is not None, "a job that succeeded printed its end"
    check(int(final[1]) > last_saved, "the epoch counter continued")
    check(float(final[2]) > 0.8, "the model learned")
    return [*facts, f"it ended after {final[1]} epochs with accuracy {final[2]}"]


def check_grace(events: list[dict[str, Any]], grace_seconds: int) -> str:
    """The attempt ended within its grace after it was asked to make room, and had saved."""
    asked = _first(events, "job.preemption_requested.v1")
    ended = next(
        e
        for e in events
        if e["name"] == "job.attempt_ended.v1" and e["position"] > asked["position"]
    )
    check(ended["data"]["outcome"] == "stopped", "the attempt was stopped, not killed by chance")
    took = _at(ended) - _at(asked)
    check(took <= grace_seconds * SECOND, f"it left within {grace_seconds} s")
    restored = _first(events, "checkpoint.restored.v1")
    saves = [e for e in events if e["name"] == "checkpoint.committed.v1"]
    before = [e for e in saves if e["position"] < restored["position"]]
    check(
        restored["data"]["digest"] == before[-1]["data"]["manifest"]["digest"],
        "the next attempt began with the newest checkpoint",
    )
    return f"it saved and left {took / SECOND:.1f} s after it was asked (grace {grace_seconds} s)"


def check_bill(events: list[dict[str, Any]], prices: dict[str, Any], bill: dict[str, Any]) -> None:
    """The bill equals the sum over the allocation intervals of the log."""
    total = 0
    granted: dict[str, dict[str, Any]] = {}
    for event in events:
        if event["name"] == "allocation.granted.v1":
            granted[event["stream"]] = event
        if event["name"] == "allocation.released.v1":
            total += _charge(granted[event["stream"]], event, prices)
    check(bill["total_micro"] == total, f"the bill {bill['total_micro']} is the sum {total}")


def _charge(granted: dict[str, Any], released: dict[str, Any], prices: dict[str, Any]) -> int:
    data = granted["data"]
    seats, seat = len(data["seats"]), data["per_seat"]
    duration = _at(released) - _at(granted)
    gpu = prices["gpus"].get(data["gpu_model"], prices["gpu_micro"])
    return (
        charge(prices["cpu_micro"], seat["cpu_milli"] * seats, 1000, duration)
        + charge(prices["memory_gib_micro"], seat["memory_bytes"] * seats, GIB, duration)
        + charge(gpu, seat["gpu_milli"] * seats, 1000, duration)
    )


def _first(events: list[dict[str, Any]], name: str) -> dict[str, Any]:
    found = next((e for e in events if e["name"] == name), None)
    if found is None:
        raise SystemExit(f"NOT TRUE: the log holds {name}")
    return found


def _at(event: dict[str, Any]) -> int:
    return from_datetime(datetime.fromisoformat(event["recorded_at"]))
