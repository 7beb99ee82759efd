"""Real `true` jobs, from the first submission until all have finished: as a batch, one by one."""

from __future__ import annotations

import argparse

from bench.cell import PLAIN, SANDBOX
from bench.contest import Contestant, Runs, present, rounds
from bench.hq import HYPERQUEUE
from bench.options import contest
from bench.raw import FORK_EXEC
from bench.report import Round, Row, medians, rows
from bench.slurm import SLURM

WAYS = ("truejobs.batch.", "truejobs.single.")


def options(parser: argparse.ArgumentParser) -> None:
    """How many jobs, how often, and beside whom."""
    contest(parser, size=1000, runs=3)


def run(options: argparse.Namespace) -> list[Row]:
    """Rows of seconds; the raw limit is fork and exec of `true` by one process."""
    size: int = options.size

    def measure(name: str, target: Runs) -> Round:
        return {WAYS[0] + name: target.batch(size), WAYS[1] + name: target.singles(size)}

    contestants: list[Contestant[Runs]] = [FORK_EXEC, SANDBOX, PLAIN]
    contestants += [SLURM, HYPERQUEUE] if not options.alone else []
    values = medians(rounds(options.runs, present(contestants), measure))
    found = []
    for part in WAYS:
        some = {name: value for name, value in values.items() if name.startswith(part)}
        others = [part + peer.name for peer in (SLURM, HYPERQUEUE)]
        found += rows(some, "s", size, part + FORK_EXEC.name, others, part + "platform")
    return found
