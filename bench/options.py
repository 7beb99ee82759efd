"""Options that benchmarks share. Every benchmark adds its own to its own parser."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """A whole number of 1 or more, else argparse's error."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("1 or more")
    return number


def contest(parser: argparse.ArgumentParser, size: int, runs: int) -> None:
    """The options of a benchmark beside peers: `size`, `runs` and `alone`."""
    about = f"how many jobs (default {size})"
    parser.add_argument("--size", type=positive, default=size, help=about)
    about = f"rounds; the figures are their medians (default {runs})"
    parser.add_argument("--runs", type=positive, default=runs, help=about)
    parser.add_argument("--alone", action="store_true", help="without the peers")


def seeds(text: str) -> range:
    """Seeds as FIRST-LAST or one number, else argparse's error."""
    first, _, last = text.partition("-")
    found = range(int(first), int(last or first) + 1)
    if not found:
        raise argparse.ArgumentTypeError("FIRST-LAST, the last not before the first")
    return found
