"""The crowded fleet of `bench cycle --live`: the state it starts from, and what it measures."""

from __future__ import annotations

import argparse

from bench.big_cell import CPUS, BigCell, small
from bench.crowd import crowded

NODES, EACH = 70, 4


def test_a_fleet_filled_by_hand_is_as_the_planner_fills_it() -> None:
    live = NODES * EACH - 3
    by_hand, planned = BigCell(NODES), BigCell(NODES)
    assert by_hand.fill_by_hand(live) == live
    planned.submit([small(CPUS // EACH)] * live)
    while planned.cycle().placements:
        pass
    assert planned.snapshot == by_hand.snapshot
    assert planned.plan() == by_hand.plan()


def test_what_is_measured() -> None:
    options = argparse.Namespace(
        nodes=NODES, live=NODES * 40, estimates=False, queued=200, shapes=12, seed=1
    )
    rows = {row.name: row for row in crowded(options)}
    assert rows["cycle.crowd.filled"].size == NODES * 40
    for name in ("idle", "moves", "queued", "asking", "burst", "leaving"):
        assert rows[f"cycle.crowd.{name}"].value > 0
