"""Single submissions a second by four clients, of jobs on hold, so that none starts."""

from __future__ import annotations

import argparse

from bench.cell import CONTROL_PLANE, Cell
from bench.contest import Contestant, Submits, present, rounds
from bench.hq import HYPERQUEUE
from bench.options import contest
from bench.report import Round, Row, medians, rows
from bench.slurm import SLURM

BASE = "submit.postgres"


def options(parser: argparse.ArgumentParser) -> None:
    """How many jobs, how often, and beside whom."""
    contest(parser, size=2000, runs=3)


def run(options: argparse.Namespace) -> list[Row]:
    """Rows of submissions a second; the raw limit is a commit on the same Postgres server."""
    size: int = options.size

    def measure(name: str, target: Submits) -> Round:
        found = {f"submit.{name}": size / target.submit(size)}
        if isinstance(target, Cell):
            found[f"submit.{name}-keyed"] = size / target.submit_keyed(size)
            found[BASE] = size / target.inserts(size)
        return found

    contestants: list[Contestant[Submits]] = [CONTROL_PLANE]
    contestants += [SLURM, HYPERQUEUE] if not options.alone else []
    values = medians(rounds(options.runs, present(contestants), measure))
    others = [f"submit.{peer.name}" for peer in (SLURM, HYPERQUEUE)]
    return rows(values, "1/s", size, BASE, others, f"submit.{CONTROL_PLANE.name}")
