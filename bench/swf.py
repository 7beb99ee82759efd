"""Batch traces in the Standard Workload Format: bounded slowdown by order and backfill.

The reference modes follow RLScheduler (Zhang et al., SC'20), whose published figures for Lublin-1
they give digit for digit; docs/benchmarks.md has the command.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean

from bench.batch import Outcome, read_swf, simulate
from bench.options import positive
from bench.report import Row
from domain.scheduling.batch import ORDERS, BatchBackfill


def options(parser: argparse.ArgumentParser) -> None:
    """The trace, its windows, and the rules."""
    parser.add_argument("--file", type=Path, required=True, help="a trace (SWF 2.2)")
    parser.add_argument("--processors", type=positive, required=True, help="of the machine")
    parser.add_argument("--windows", default="0", help="first jobs of windows, counted from 0")
    parser.add_argument("--length", type=positive, help="jobs in a window (default: all)")
    parser.add_argument("--order", choices=ORDERS, default="default")
    parser.add_argument("--backfill", choices=list(BatchBackfill), default="easy")


def run(options: argparse.Namespace) -> list[Row]:
    """Means over the windows: slowdown, utilisation, longest wait; against plain FCFS."""
    jobs = read_swf(options.file)
    outcomes, base = [], []
    for first in _windows(options.windows, len(jobs)):
        window = jobs[first : first + (options.length or len(jobs))]
        backfill = BatchBackfill(options.backfill)
        outcomes.append(simulate(window, options.processors, ORDERS[options.order], backfill))
        none = BatchBackfill.NONE
        base.append(simulate(window, options.processors, ORDERS["fcfs"], none))
    name = f"swf.{options.order}.{options.backfill}"
    return _rows(name, outcomes, "swf.fcfs.none", base)


def _rows(name: str, found: list[Outcome], against: str, base: list[Outcome]) -> list[Row]:
    def figures(outcomes: list[Outcome]) -> list[tuple[str, float, str]]:
        return [
            ("slowdown", fmean(outcome.slowdown for outcome in outcomes), "1"),
            ("utilisation", fmean(outcome.utilisation for outcome in outcomes), "1"),
            ("max_wait", max(outcome.max_wait for outcome in outcomes), "s"),
        ]

    return [
        Row(
            f"{name}.{what}", value, unit, len(found), value / max(other, 1e-9), f"{against}.{what}"
        )
        for (what, value, unit), (_, other, _) in zip(figures(found), figures(base), strict=True)
    ]


def _windows(text: str, jobs: int) -> list[int]:
    try:
        found = [int(part) for part in text.split(",")]
    except ValueError:
        raise SystemExit("--windows: job numbers with commas between, such as 0,1024") from None
    outside = [first for first in found if not 0 <= first < jobs]
    if outside:
        raise SystemExit(f"--windows: {outside[0]} is not one of the trace's {jobs} jobs")
    return found
