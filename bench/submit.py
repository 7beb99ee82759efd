"""Single submissions a second by four clients, of jobs on hold, so that none starts."""

from __future__ import annotations

from bench.cell import CONTROL_PLANE, Cell
from bench.contest import Contestant, Submits, present, rounds
from bench.hq import HYPERQUEUE
from bench.report import Round, Row, medians, rows
from bench.slurm import SLURM

BASE = "submit.postgres"


def run(size: int, runs: int, peers: bool) -> list[Row]:
    """Rows of submissions a second; the raw limit is a commit on the same Postgres server."""

    def measure(name: str, target: Submits) -> Round:
        found = {f"submit.{name}": size / target.submit(size)}
        if isinstance(target, Cell):
            found[f"submit.{name}-keyed"] = size / target.submit_keyed(size)
            found[BASE] = size / target.inserts(size)
        return found

    contestants: list[Contestant[Submits]] = [CONTROL_PLANE]
    contestants += [SLURM, HYPERQUEUE] if peers else []
    values = medians(rounds(runs, present(contestants), measure))
    others = [f"submit.{peer.name}" for peer in (SLURM, HYPERQUEUE)]
    return rows(values, "1/s", size, BASE, others, f"submit.{CONTROL_PLANE.name}")
