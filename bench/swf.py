"""Windows of a batch log, each on an empty machine: slowdown, utilisation, longest wait."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import fmean

from bench.figures import figures
from bench.options import positive
from bench.pool import BACKFILLS, PoolEngine
from bench.report import Row
from bench.simulator import simulate
from bench.trace import read_swf
from domain.scheduling.order import ORDERS

DEPTH = 8
"""Blocked claims that hold a start under our order; under the others 1, as in the papers."""
SHOWN = ("slowdown", "utilisation", "wait.max")


def whole_numbers(text: str) -> list[int]:
    """Numbers of 0 or more with commas between, else argparse's error."""
    numbers = [int(part) for part in text.split(",")]
    if min(numbers) < 0:
        raise argparse.ArgumentTypeError("0 or more")
    return numbers


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", type=Path, required=True, help="a log in SWF")
    parser.add_argument("--processors", type=positive, required=True)
    about = "index of each window's first job (default 0)"
    parser.add_argument("--windows", type=whole_numbers, default=[0], help=about)
    parser.add_argument("--length", type=positive, default=1024, help="jobs a window")
    parser.add_argument("--order", choices=ORDERS, default="default")
    about = "reference: RLScheduler's; none: without, its head committed as there"
    parser.add_argument("--backfill", choices=BACKFILLS, default="easy", help=about)
    about = f"blocked jobs that hold a start (default {DEPTH} for order default, else 1)"
    parser.add_argument("--depth", type=positive, help=about)
    about = "the longest waiting holds a start, and who is past its time in a fluid FIFO goes first"
    parser.add_argument("--bounded", action="store_true", help=about)


def run(options: argparse.Namespace) -> list[Row]:
    jobs = read_swf(options.file)
    committed = options.backfill in ("none", "reference")
    depth = options.depth or (DEPTH if options.order == "default" else 1)
    found = []
    for window in options.windows:
        part = jobs[window : window + options.length]
        if len(part) < options.length:
            raise SystemExit(f"window {window}: the log has only {len(jobs)} jobs")
        engine = PoolEngine(
            (options.processors,),
            options.order,
            options.backfill,
            depth=depth,
            committed=committed,
            bounded=options.bounded,
        )
        history = simulate(part, engine, singly=committed)
        found.append(figures(history, options.processors))
        print(f"window {window}: slowdown {found[-1]['slowdown'][0]:.2f}", file=sys.stderr)
    return _rows(options, found)


def _rows(options: argparse.Namespace, found: list[dict[str, tuple[float, str]]]) -> list[Row]:
    label = f"{options.order}.{options.backfill}"
    rows, totals = [], []
    for what in SHOWN:
        values, unit = [each[what][0] for each in found], found[0][what][1]
        total, name = max(values) if what == "wait.max" else fmean(values), f"{label}.{what}"
        for window, value in zip(options.windows, values, strict=True):
            ratio = value / total if total else 1.0
            rows.append(Row(f"{label}.{window}.{what}", value, unit, options.length, ratio, name))
        totals.append(Row(name, total, unit, options.length, 1.0, name))
    return rows + totals
