"""`python -m bench [NAME]`: measure one thing, or list what can be measured."""

from __future__ import annotations

import argparse
import signal
import sys

from bench.catalogue import BENCHES, load
from bench.report import json_lines, table


def main() -> None:
    """Print the list, or a benchmark's rows; progress goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=BENCHES, metavar="NAME", help="a benchmark")
    name = parser.parse_args(sys.argv[1:2]).name
    if name is None:
        for each, about in BENCHES.items():
            print(f"{each:10} {about}")
        return
    bench = load(name)
    parser = argparse.ArgumentParser(prog=f"python -m bench {name}", description=BENCHES[name])
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    bench.options(parser)
    options = parser.parse_args(sys.argv[2:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all that runs is stopped
    found = bench.run(options)
    print(json_lines(found) if options.json else table(found))


if __name__ == "__main__":
    main()
