"""Submission to running, job by job: until `date` in the job reads the clock of this machine."""

from __future__ import annotations

import argparse
from statistics import quantiles

from bench.cell import PLAIN, SANDBOX
from bench.contest import Contestant, Runs, present, rounds
from bench.hq import HYPERQUEUE
from bench.options import contest
from bench.raw import FORK_EXEC
from bench.report import Round, Row, medians, rows
from bench.slurm import SLURM


def options(parser: argparse.ArgumentParser) -> None:
    """How many jobs, how often, and beside whom."""
    contest(parser, size=50, runs=3)


def run(options: argparse.Namespace) -> list[Row]:
    """Rows of milliseconds, p50 and p99; the raw limit is fork and exec of the same program."""
    size: int = options.size

    def measure(name: str, target: Runs) -> Round:
        hundredths = quantiles(target.starts(size), n=100, method="inclusive")
        return {f"start.p50.{name}": hundredths[49], f"start.p99.{name}": hundredths[98]}

    contestants: list[Contestant[Runs]] = [FORK_EXEC, SANDBOX, PLAIN]
    contestants += [SLURM, HYPERQUEUE] if not options.alone else []
    values = medians(rounds(options.runs, present(contestants), measure))
    found = []
    for part in ("start.p50.", "start.p99."):
        some = {name: value for name, value in values.items() if name.startswith(part)}
        others = [part + peer.name for peer in (SLURM, HYPERQUEUE)]
        found += rows(some, "ms", size, part + FORK_EXEC.name, others, part + "platform")
    return found
