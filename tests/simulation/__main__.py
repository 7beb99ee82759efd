"""`python -m tests.simulation FIRST-LAST`: run worlds; prints seeds, events, violations last."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from multiprocessing import Pool

from tests.simulation.world import Outcome, run


def outcomes(seeds: Iterable[int]) -> Iterator[Outcome]:
    """The worlds of these seeds, on all processors, in order."""
    with Pool(len(os.sched_getaffinity(0)), logging.disable) as pool:
        yield from pool.imap(run, seeds, chunksize=4)


def main(words: list[str]) -> int:
    """0 if no invariant was violated."""
    first, _, last = (words[0] if words else "1-2000").partition("-")
    seeds = range(int(first), int(last or first) + 1)
    began, events, simulated, violations = time.monotonic(), 0, 0, 0
    for outcome in outcomes(seeds):
        events += outcome.events
        simulated += outcome.simulated_us
        if outcome.violation is not None:
            violations += 1
            print(f"seed {outcome.seed}: {outcome.violation}\n")
    took = time.monotonic() - began
    print(f"{len(seeds) / took:.1f} seeds/s, {simulated / 1e6 / took:.0f} simulated s/s")
    print(f"{len(seeds)} seeds, {events} events, {violations} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
