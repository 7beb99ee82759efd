"""Real `true` jobs, from the first submission until all have finished: as a batch, one by one."""

from __future__ import annotations

from bench.cell import PLAIN, SANDBOX
from bench.contest import Contestant, Runs, present, rounds
from bench.hq import HYPERQUEUE
from bench.raw import FORK_EXEC
from bench.report import Round, Row, medians, rows
from bench.slurm import SLURM

WAYS = ("truejobs.batch.", "truejobs.single.")


def run(size: int, runs: int, peers: bool) -> list[Row]:
    """Rows of seconds; the raw limit is fork and exec of `true` by one process."""

    def measure(name: str, target: Runs) -> Round:
        return {WAYS[0] + name: target.batch(size), WAYS[1] + name: target.singles(size)}

    contestants: list[Contestant[Runs]] = [FORK_EXEC, SANDBOX, PLAIN]
    contestants += [SLURM, HYPERQUEUE] if peers else []
    values = medians(rounds(runs, present(contestants), measure))
    found = []
    for part in WAYS:
        some = {name: value for name, value in values.items() if name.startswith(part)}
        others = [part + peer.name for peer in (SLURM, HYPERQUEUE)]
        found += rows(some, "s", size, part + FORK_EXEC.name, others, part + "platform")
    return found
