"""`python -m tests.simulation SEEDS`: run worlds; prints seeds, events, violations last."""

from __future__ import annotations

import argparse
import sys
import time
from multiprocessing import pool

from tests.simulation.guards import Guard
from tests.simulation.runs import Task, first_failure, outcomes, workers
from tests.simulation.shrink import shrink
from tests.simulation.world import Outcome

GUARD_SEEDS = range(1, 201)


def seeds(text: str) -> range:
    """`35` or `1-2000`."""
    first, dash, last = text.partition("-")
    words = (first, last) if dash else (first, first)
    if not all(word.isascii() and word.isdigit() for word in words):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a seed such as 35 nor a range such as 1-2000"
        )
    found = range(int(words[0]), int(words[1]) + 1)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} ends before it begins")
    return found


def guard(text: str) -> Guard:
    """A guard by its name."""
    try:
        return Guard[text.upper()]
    except KeyError:
        known = ", ".join(Guard.__members__)
        raise argparse.ArgumentTypeError(f"no guard {text!r}; there are {known}") from None


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Simulated cells with faults, one a seed. Exit status 1 if an invariant broke.",
    )
    parser.add_argument(
        "seeds",
        metavar="SEEDS",
        nargs="?",
        type=seeds,
        help="a seed (35) or a range (1-2000, the default)",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="GUARD",
        type=guard,
        help="switch this guard off",
    )
    parser.add_argument(
        "--only", metavar="NAMES", help="let only these jobs and faults happen: job#3,partition#2"
    )
    parser.add_argument(
        "--guards",
        action="store_true",
        help=f"switch each guard off in turn and look for a seed that shows it is missed,"
        f" among {GUARD_SEEDS[0]}-{GUARD_SEEDS[-1]} unless SEEDS are given",
    )
    return parser


def main(words: list[str]) -> int:
    """0 if no invariant was violated; of `--guards`, if each removal was noticed."""
    options = _options().parse_args(words)
    with workers() as crew:
        if options.guards:
            return _table(crew, options.seeds or GUARD_SEEDS)
        only = options.only and tuple(options.only.split(","))
        off = frozenset(options.without)
        return _worlds(crew, [(seed, off, only) for seed in options.seeds or range(1, 2001)])


def _worlds(crew: pool.Pool, tasks: list[Task]) -> int:
    began, events, simulated, failed = time.monotonic(), 0, 0, list[Outcome]()
    for outcome in outcomes(crew, tasks):
        events += outcome.events
        simulated += outcome.simulated_us
        if outcome.violation is not None:
            failed.append(outcome)
            invariant, detail = outcome.violation.invariant, outcome.violation.detail
            print(f"seed {outcome.seed}: {invariant}: {detail}", flush=True)
    took = time.monotonic() - began
    if failed:
        _explain(crew, failed[0], tasks[0][1])
    print(f"{len(tasks) / took:.1f} seeds/s, {simulated / 1e6 / took:.0f} simulated s/s")
    print(f"{len(tasks)} seeds, {events} events, {len(failed)} violations")
    return 1 if failed else 0


def _explain(crew: pool.Pool, failed: Outcome, off: frozenset[Guard]) -> None:
    smallest = shrink(crew, failed, off)
    least, most = len(smallest.happened), len(failed.happened)
    print(f"\nSeed {failed.seed}, with {least} of its {most} jobs and faults:\n")
    print(smallest.violation)
    removed = "".join(f" --without {guard.name.lower()}" for guard in sorted(off))
    print("\nThe same again:")
    print(f"python -m tests.simulation {failed.seed}{removed} --only {','.join(smallest.happened)}")
    print()


def _table(crew: pool.Pool, searched: range) -> int:
    """Each guard, and the first seed that breaks without it."""
    missed = 0
    for removed in Guard:
        found = first_failure(crew, [(seed, frozenset({removed}), None) for seed in searched])
        if found is None or found.violation is None:
            missed += 1
            shown = "not noticed"
        else:
            shown = f"seed {found.seed} breaks {found.violation.invariant}"
        print(f"{removed.name.lower():14} {shown:24} {removed.value}", flush=True)
    print(f"{len(Guard)} guards, {len(Guard) - missed} of their removals noticed")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
