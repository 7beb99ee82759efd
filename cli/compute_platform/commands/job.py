"""`compute job` and `compute why`: one job in full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compute_platform import amounts
from compute_platform.session import Session, api_command, at_option, job_argument, say, write_json, write_lines
from compute_platform.table import Column, table, terminal_width

if TYPE_CHECKING:
    from datetime import datetime

    from compute_platform.shapes import Job, Outlook, Reason, Why


@click.command()
@api_command
@at_option
@job_argument
def job(session: Session, as_json: bool, job: str) -> None:
    """Show one job with its history.

    With --json the job alone; `compute why --json` has the history.
    """
    client, job_id = session.client, session.job(job)
    found = client.job(job_id)
    if as_json:
        write_json(found)
        return
    why = client.why(job_id)
    lines = fields(found, why, client.now)
    write_lines([*lines, "", *history(why)])


@click.command()
@api_command
@at_option
@click.option("--quick", is_flag=True, help="Only what is recorded: plan nothing.")
@job_argument
def why(session: Session, as_json: bool, quick: bool, job: str) -> None:
    """Say why a job waits, or what became of it.

    In one sentence, then the nodes by what excludes them, the jobs ahead, and the history. For a
    job that waits, the scheduler also plans when it may start and the smallest changes that would
    let it start now (not with --quick). With --at it plans on what was so then, at that time.
    """
    job_id = session.job(job)
    found = session.client.why(job_id)
    waits = found["phase"] == "queued" and not quick
    foreseen = _outlook(session, job_id) if waits else None
    if as_json:
        write_json(found if foreseen is None else {**found, "outlook": foreseen})
        return
    lines = [found["summary"]]
    move = found.get("migration")
    reason = move["reason"] if move else found.get("reason")
    lines += ["", *constraints(reason)] if reason else []
    if foreseen is not None:
        from compute_platform import foretell

        lines += ["", *foretell.outlook(foreseen)]
    elif found.get("ahead"):
        lines += ["", *ahead(found)]
    lines += waited(found, session.client.now)
    write_lines([*lines, "", *history(found)])


def waited(why: Why, now: datetime) -> list[str]:
    """For how long it waited, by what kept it; nothing if it never did."""
    ledger = why.get("waits")
    if ledger is None:
        return []
    sums = dict(ledger["by_cause"])
    cause, since = ledger["cause"], amounts.instant(ledger["since"])
    if cause and since is not None:
        lasts = max(0, int((now - since).total_seconds() * 1_000_000))
        sums[cause] = sums.get(cause, 0) + lasts
    total = sum(sums.values())
    if not total:
        return []
    ordered = sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [[name, amounts.span(us), f"{100 * us / total:.0f} %"] for name, us in ordered if us]
    columns = [Column("WAITED FOR"), Column("TIME", right=True), Column("SHARE", right=True)]
    return ["", *table(columns, [*rows, ["all", amounts.span(total), ""]], None)]


def _outlook(session: Session, job: str) -> Outlook | None:
    """What is foreseen of a job, None where the server cannot tell now."""
    from compute_platform.errors import Problem

    try:
        return session.client.outlook(job)
    except Problem as error:
        if error.code != "not_waiting":
            say(f"what would let it start is not known now: {error.what}")
        return None


def fields(job: Job, why: Why, now: datetime) -> list[str]:
    """A job's facts, one a line; those that say nothing are left out."""
    from shlex import join

    started, ended = job.get("started_at"), job.get("ended_at")
    saving = job.get("checkpointing") or {}
    pairs = [
        ("id", job["id"]),
        ("name", job["name"]),
        ("project", job["project_id"]),
        ("user", job["user"]),
        ("phase", job["phase"]),
        ("why", why["summary"]),
        ("place", "" if job.get("queue_position") is None else str(job["queue_position"])),
        ("priority", str(job["priority"])),
        ("inherits", amounts.number(job.get("inherited_priority"))),
        ("command", join(job["command"])),
        ("image", job.get("docker_image") or ""),
        ("each seat", seat(job)),
        ("replicas", str(job["replicas"]) if job["replicas"] != 1 else ""),
        ("checkpoints", f"every {_interval(saving)}" if saving.get("enabled") else ""),
        ("nodes", ", ".join(job.get("nodes") or [])),
        ("attempt", str(job.get("attempt") or "")),
        ("failures", str(job.get("failures") or "")),
        ("preemptions", str(job.get("preemptions") or "")),
        ("submitted", amounts.clock(job["submitted_at"])),
        ("started", amounts.clock(started) if started else ""),
        ("due", amounts.clock(job["due_at"]) if job.get("due_at") else ""),
        ("stop by", amounts.clock(job["stop_deadline"]) if job.get("stop_deadline") else ""),
        ("makes room for", job.get("preemptor") or ""),
        ("moves", moves(job)),
        ("ended", amounts.clock(ended) if ended else ""),
        ("ran", amounts.since(started, amounts.instant(ended) or now)),
        ("outcome", job.get("outcome") or ""),
        ("exit code", "" if job.get("exit_code") is None else str(job["exit_code"])),
        ("detail", job.get("detail") or ""),
    ]
    return [f"{name:<15} {value}" for name, value in pairs if value]


def moves(job: Job) -> str:
    """Where a job moves, nothing if it stays."""
    found = job.get("migration")
    if found is None:
        return ""
    if found["found"]:
        return f"to {', '.join(found['found'])}"
    return f"once there is room {'elsewhere' if found['to'] is None else 'on ' + found['to']}"


def seat(job: Job) -> str:
    """What one seat asks for."""
    asked = job["resources"]
    parts = [f"{amounts.cpu(asked['cpu_milli'])} CPU"]
    if asked.get("memory_bytes"):
        parts.append(f"{amounts.memory(asked['memory_bytes'])} memory")
    models = " or ".join(asked.get("gpu_types") or ["any model"])
    if asked.get("mig"):
        parts.append(f"1 MIG {asked['mig']} ({models})")
    elif asked.get("gpu"):
        parts.append(f"{asked['gpu']} GPU ({models})")
    return ", ".join(parts)


def constraints(reason: Reason) -> list[str]:
    """The nodes counted by what excludes them."""
    rows = [[item["constraint"], str(item["nodes"])] for item in reason.get("excluded", [])]
    rows.append(["fits now", str(reason.get("nodes_fitting", 0))])
    rows.append(["all", str(reason.get("nodes", 0))])
    lines = table([Column("EXCLUDED BY"), Column("NODES", right=True)], rows, None)
    if reason.get("seats", 1) > 1:
        lines.append(f"{reason['seats_fitting']} of {reason['seats']} seats fit now.")
    return lines


def ahead(why: Why) -> list[str]:
    """The jobs ahead in the queue."""
    rows = [[item["id"][-8:], item["name"], str(item["priority"])] for item in why["ahead"]]
    columns = [Column("ID"), Column("NAME", least=8), Column("PRI", right=True)]
    total, shown = why.get("ahead_total", len(rows)), len(rows)
    title = f"Ahead: {total}" + (f", the first {shown}:" if total > shown else "")
    return [title, *table(columns, rows, terminal_width())]


def history(why: Why) -> list[str]:
    """What happened so far, with causes."""
    rows = [
        [amounts.clock(item["at"]), str(item["position"]), item["name"], item["text"]]
        for item in why.get("history") or []
    ]
    columns = [Column("WHEN"), Column("POSITION", right=True), Column("EVENT"), Column("WHAT")]
    return table(columns, rows, None)


def _interval(saving: dict[str, int]) -> str:
    return amounts.duration(int(saving.get("interval_seconds") or 0))
