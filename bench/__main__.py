"""`python -m bench [NAME]`: measure one thing, or list what can be measured."""

from __future__ import annotations

import argparse
import signal
import sys

from bench.catalogue import BENCHES
from bench.report import json_lines, table


def main() -> None:
    """Print the list, or a benchmark's rows; progress goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=BENCHES, metavar="NAME", help="a benchmark")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--size", type=_positive, help="how many jobs, instead of the usual number")
    parser.add_argument("--runs", type=_positive, help="rounds; the figures are their medians")
    parser.add_argument("--alone", action="store_true", help="without the peers")
    options = parser.parse_args()
    if options.name is None:
        for name, bench in BENCHES.items():
            print(f"{name:10} {bench.about} (--size {bench.size} --runs {bench.runs})")
        return
    bench = BENCHES[options.name]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that runs is stopped
    size, runs = options.size or bench.size, options.runs or bench.runs
    found = bench.run(size, runs, not options.alone)
    print(json_lines(found) if options.json else table(found))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("1 or more")
    return number


if __name__ == "__main__":
    main()
