"""Our order against FIFO on the Philly jobs: completion times, and that nobody starves for them."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.figures import compare, figures, percentile
from bench.gangs import GangEngine
from bench.options import positive
from bench.report import Row
from bench.simulator import simulate
from bench.trace import TraceJob, read_philly

BUSY = 0.8
"""Unless --nodes is given, the cluster is so large that the jobs, spread evenly over the time in
which the middle 98 % of them were submitted, keep this share of it busy."""
SETUPS = {
    "fifo": ("fcfs", False, False),
    "fifo-easy": ("fcfs", True, False),
    "unbounded": ("default", True, False),
    "default": ("default", True, True),
}


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", type=Path, required=True, help="jobs as CSV")
    parser.add_argument("--nodes", type=positive, help="nodes of 8 GPUs (default: 80 %% busy)")


def run(options: argparse.Namespace) -> list[Row]:
    jobs = read_philly(options.file)
    if not jobs:
        raise SystemExit(f"{options.file}: no jobs")
    nodes = options.nodes
    if nodes is None:
        nodes = _enough(jobs)
    found = {}
    for name, (order, fill, bounded) in SETUPS.items():
        print(f"{name}: {len(jobs)} jobs on {nodes} nodes", file=sys.stderr)
        history = simulate(jobs, GangEngine(nodes, order, fill=fill, bounded=bounded))
        found[name] = figures(history, nodes * 8)
    return compare(found, "fifo", nodes)


def _enough(jobs: Sequence[TraceJob]) -> int:
    submitted = [job.submitted for job in jobs]
    span = percentile(submitted, 99) - percentile(submitted, 1)
    span = max(span, max(job.run for job in jobs) if span == 0 else 0)
    work = sum(job.size * job.run for job in jobs)
    return max(math.ceil(work / (span * 8 * BUSY)), -(-max(job.size for job in jobs) // 8))
