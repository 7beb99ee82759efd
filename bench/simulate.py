"""A trace, or a log of this platform, through the engines of the core or all of the planner."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.cluster import Cut, amount_of, capacity, cpu_nodes, gpu_nodes, read_nodes
from bench.figures import compare, figures
from bench.gangs import GangEngine
from bench.log_reader import read_export, read_log
from bench.log_trace import histories
from bench.options import positive
from bench.pictures import draw
from bench.planner import PlannerEngine
from bench.pool import BACKFILLS, PoolEngine
from bench.report import Row
from bench.simulator import Engine, simulate
from bench.trace import TraceJob, read_openb, read_philly, read_swf
from domain.node.events import Registered
from domain.scheduling.order import ORDERS

READ = {"openb": read_openb, "philly": read_philly, "swf": read_swf}


def options(parser: argparse.ArgumentParser) -> None:
    about = "what --file is; log: what `compute audit export` wrote"
    parser.add_argument("--trace", choices=(*READ, "log"), required=True, help=about)
    parser.add_argument("--file", type=Path, help="the jobs")
    parser.add_argument("--dsn", help="log: read it from this database instead of a file")
    parser.add_argument("--inventory", type=Path, help="openb: the list of nodes")
    parser.add_argument("--nodes", type=positive, default=16, help="nodes, all alike (default 16)")
    about = "GPUs (philly) or processors (swf) a node (default 8)"
    parser.add_argument("--per-node", type=positive, default=8, help=about)
    about = "default core; a log is rehearsed by the planner, beside what was recorded"
    parser.add_argument("--engine", choices=("core", "planner", "both"), help=about)
    parser.add_argument("--order", choices=ORDERS, default="default", help="of the core")
    about = "of the core; philly knows none and easy"
    parser.add_argument("--backfill", choices=BACKFILLS, default="easy", help=about)
    parser.add_argument("--first", type=positive, help="only so many jobs")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="PNG files go there")


def run(options: argparse.Namespace) -> list[Row]:
    if options.trace == "log":
        return _log(options)
    if options.file is None or options.dsn is not None:
        raise SystemExit(f"--trace {options.trace} needs --file, and has no --dsn")
    jobs = READ[options.trace](options.file)[: options.first]
    if not jobs:
        raise SystemExit(f"{options.file}: no jobs")
    offers = _offers(options)
    total = capacity(offers)
    size = total.gpu_milli or total.cpu_milli
    if options.trace != "openb":
        size //= 1000
    found = {}
    engine = options.engine or "core"
    names = ("core", "planner") if engine == "both" else (engine,)
    for name in names:
        print(f"{name}: {len(jobs)} jobs on {len(offers)} nodes", file=sys.stderr)
        singly = name == "core" and _committed(options)
        kept = _runnable(jobs, options, offers)
        history = simulate(kept, _engine(name, options, offers), singly=singly)
        found[name] = figures(history, size)
        if options.pictures:
            print(draw(history, size, options.pictures, name), file=sys.stderr)
    return compare(found, names[0], len(jobs))


def _log(options: argparse.Namespace) -> list[Row]:
    """What was recorded, and what the planner makes of the same submissions and nodes."""
    if (options.file is None) == (options.dsn is None):
        raise SystemExit("--trace log needs --file (an export) or --dsn, one of them")
    if options.engine not in (None, "planner") or options.first is not None:
        raise SystemExit("--trace log runs through the planner, all of it: no --engine, no --first")
    log = read_log(options.dsn) if options.file is None else read_export(options.file)
    found, most = histories(log)
    jobs = found["recorded"].jobs
    print(f"planner: {len(jobs)} jobs of {len(log)} events", file=sys.stderr)
    for name, history in found.items():
        if options.pictures:
            print(draw(history, most, options.pictures, name), file=sys.stderr)
    shown = {name: figures(history, most) for name, history in found.items()}
    return compare(shown, "recorded", len(jobs))


def _offers(options: argparse.Namespace) -> list[Registered]:
    if options.trace == "openb":
        if options.inventory is None:
            raise SystemExit("--trace openb needs --inventory, its list of nodes")
        return read_nodes(options.inventory)
    make = gpu_nodes if options.trace == "philly" else cpu_nodes
    return make(options.nodes, options.per_node)


def _committed(options: argparse.Namespace) -> bool:
    return options.trace != "philly" and options.backfill in ("none", "reference")


def _engine(name: str, options: argparse.Namespace, offers: list[Registered]) -> Engine:
    if name == "planner":
        what = {"openb": "openb", "philly": "gpu", "swf": "cpu"}[options.trace]
        return PlannerEngine(offers, Cut(what, options.per_node, options.nodes).spec)
    if options.trace == "philly":
        if options.backfill not in ("none", "easy"):
            raise SystemExit("--backfill: philly is placed node by node: none or easy")
        fill = options.backfill == "easy"
        default = options.order == "default"
        per_node = options.per_node
        return GangEngine(
            options.nodes, options.order, fill=fill, bounded=default, per_node=per_node
        )
    whole = amount_of(capacity(offers))
    amount = whole if options.trace == "openb" else (options.nodes * options.per_node,)
    committed = _committed(options)
    return PoolEngine(amount, options.order, options.backfill, committed=committed)


def _runnable(
    jobs: list[TraceJob], options: argparse.Namespace, offers: list[Registered]
) -> list[TraceJob]:
    """Without the jobs that no node of the inventory, or not all together, could ever run."""
    if options.trace == "openb":
        nodes = [amount_of(offer.capacity) for offer in offers]
        kept = [
            job
            for job in jobs
            if any(all(w <= h for w, h in zip(job.amount, n, strict=True)) for n in nodes)
        ]
    else:
        kept = [job for job in jobs if job.size <= options.nodes * options.per_node]
    if len(kept) < len(jobs):
        print(f"{len(jobs) - len(kept)} jobs are too large and left out", file=sys.stderr)
    return kept
