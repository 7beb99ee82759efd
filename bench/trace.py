"""Jobs from trace files, as the simulator takes them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from domain.scheduling.profile import Amount


@dataclass(frozen=True)
class TraceJob:
    """One job: what it asks for, in the order of the cluster's resources, and how long it ran."""

    name: str
    submitted: int
    run: int
    estimate: int
    amount: Amount
    size: int
    user: str = ""


def read_swf(path: Path) -> list[TraceJob]:
    """A log in the Standard Workload Format, version 2; jobs that did not run are left out.

    Fields: 1 job, 2 submitted, 4 run, 5 allocated, 8 asked, 9 estimate, 12 user.
    SystemExit names the line that cannot be read.
    """
    found = []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip() or line.lstrip().startswith(";"):
            continue
        try:
            fields = [int(float(field)) for field in line.split()]
            job, submitted, run, asked = fields[0], fields[1], fields[3], max(fields[4], fields[7])
            estimate, user = fields[8], fields[11]
        except (ValueError, IndexError, OverflowError):
            raise SystemExit(f"{path}:{number}: not a line of 18 numbers") from None
        if submitted < 0 or asked < 0:
            raise SystemExit(f"{path}:{number}: submitted and processors must not be negative")
        if run > 0 and asked > 0:
            estimate = estimate if estimate > 0 else run
            name = f"{job:09}"
            found.append(TraceJob(name, submitted, run, estimate, (asked,), asked, str(user)))
    return sorted(found, key=lambda job: job.name)


def read_philly(path: Path) -> list[TraceJob]:
    """Columns timestamp, duration, num_gpus, cluster; whole seconds, estimates are exact."""
    found = []
    for number, row in enumerate(_rows(path, "timestamp", "duration", "num_gpus", "cluster"), 2):
        try:
            when = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
            submitted = int(when.timestamp())
            run, gpus = int(float(row["duration"])), int(row["num_gpus"])
        except (ValueError, OverflowError) as wrong:
            raise SystemExit(f"{path}:{number}: {wrong}") from None
        if run > 0 and gpus > 0:
            name = f"{number:09}"
            found.append(TraceJob(name, submitted, run, run, (gpus,), gpus, row["cluster"]))
    return sorted(found, key=lambda job: (job.submitted, job.name))


def read_openb(path: Path) -> list[TraceJob]:
    """Columns name, cpu_milli, memory_mib, num_gpu, gpu_milli, creation_time, deletion_time.

    Amounts are CPU milli, memory MiB and GPU milli; the size is GPU milli, or CPU milli without.
    Tasks without a life are left out.
    """
    need = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
    found = []
    rows = _rows(path, *need, "creation_time", "deletion_time")
    for number, row in enumerate(rows, 2):
        try:
            cpu, memory, count, milli = (int(row[column]) for column in need[1:])
            submitted, end = int(row["creation_time"]), int(row["deletion_time"] or 0)
        except ValueError as wrong:
            raise SystemExit(f"{path}:{number}: {wrong}") from None
        run, gpu = end - submitted, count * milli
        if run > 0:
            amount = (cpu, memory, gpu)
            found.append(TraceJob(row["name"], submitted, run, run, amount, gpu or cpu))
    return sorted(found, key=lambda job: (job.submitted, job.name))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as wrong:
        raise SystemExit(f"cannot read {path}: {wrong}") from None


def _rows(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    reader = csv.DictReader(_lines(path))
    missing = [column for column in columns if column not in (reader.fieldnames or ())]
    if missing:
        raise SystemExit(f"{path}: no column {', '.join(missing)}")
    return iter(reader)
