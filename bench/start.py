"""Submission to running, job by job: until `date` in the job reads the clock of this machine."""

from __future__ import annotations

from statistics import quantiles

from bench.cell import PLAIN, SANDBOX
from bench.contest import Contestant, Runs, present, rounds
from bench.hq import HYPERQUEUE
from bench.raw import FORK_EXEC
from bench.report import Round, Row, medians, rows
from bench.slurm import SLURM


def run(size: int, runs: int, peers: bool) -> list[Row]:
    """Rows of milliseconds, p50 and p99; the raw limit is fork and exec of the same program."""

    def measure(name: str, target: Runs) -> Round:
        hundredths = quantiles(target.starts(size), n=100, method="inclusive")
        return {f"start.p50.{name}": hundredths[49], f"start.p99.{name}": hundredths[98]}

    contestants: list[Contestant[Runs]] = [FORK_EXEC, SANDBOX, PLAIN]
    contestants += [SLURM, HYPERQUEUE] if peers else []
    values = medians(rounds(runs, present(contestants), measure))
    found = []
    for part in ("start.p50.", "start.p99."):
        some = {name: value for name, value in values.items() if name.startswith(part)}
        others = [part + peer.name for peer in (SLURM, HYPERQUEUE)]
        found += rows(some, "ms", size, part + FORK_EXEC.name, others, part + "platform")
    return found
