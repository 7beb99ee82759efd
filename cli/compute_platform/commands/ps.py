"""`compute ps`: list jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import click

from compute_platform import amounts
from compute_platform.errors import Misused
from compute_platform.session import Session, api_command, at_option, coloured, say, write_json
from compute_platform.table import Column, table, terminal_width

if TYPE_CHECKING:
    from datetime import datetime

    from compute_platform.shapes import Job, Page

REFRESH_SECONDS = 2.0
_COLUMNS = [
    Column("ID"),
    Column("NAME", least=8),
    Column("PROJECT", least=7),
    Column("PHASE"),
    Column("PRI", right=True),
    Column("INH", right=True, rare=True),
    Column("TIME", right=True),
    Column("POS", right=True),
    Column("REASON", least=10, kept=True),
    Column("NODE", least=6),
]
_COLOURS = {"running": "green", "succeeded": "green", "failed": "red", "timed_out": "red"}


@click.command()
@api_command
@at_option
@click.option("-a", "--all", "everything", is_flag=True, help="Also jobs that have ended.")
@click.option("--mine", is_flag=True, help="Only your own.")
@click.option("--phase", "phases", multiple=True, help="Only in this phase (may be repeated).")
@click.option("--project", help="Only of this project.")
@click.option("--name", help="Only with this name.")
@click.option("-n", "--limit", default=200, show_default=True, help="At most; 0 for all.")
@click.option("-w", "--watch", is_flag=True, help="Show them again and again until Ctrl-C.")
@click.option("-q", "--quiet", is_flag=True, help="Print full ids only.")
def ps(
    session: Session,
    as_json: bool,
    everything: bool,
    mine: bool,
    phases: tuple[str, ...],
    project: str | None,
    name: str | None,
    limit: int,
    watch: bool,
    quiet: bool,
) -> None:
    """List jobs.

    Those that wait or run, unless --all or --phase says more. TIME is how long a job waits or
    runs so far, or how long it ran; INH the priority it inherits from those that wait for it.
    """
    from compute_platform.client import LIVE

    if watch and session.at is not None:
        raise Misused("--at shows one moment: leave --watch out.")
    user = _me(session) if mine else None
    while True:
        page = session.client.jobs(
            phases=phases or (() if everything else LIVE),
            project=project,
            user=user,
            name=name,
            limit=limit or None,
        )
        if as_json:
            write_json(page, one_line=watch)
        elif quiet:
            click.echo("".join(f"{job['id']}\n" for job in page["items"]), nl=False)
        else:
            _show(page, session.client.now, clear=watch)
        if not watch:
            return
        time.sleep(REFRESH_SECONDS)


def _me(session: Session) -> str:
    from compute_platform.commands.token import principal_of

    return principal_of(session.client.transport.call("GET", "/whoami"))  # who one is now


def _show(page: Page, now: datetime, clear: bool) -> None:
    if clear and coloured():
        click.clear()
    jobs = cast("list[Job]", page["items"])
    lines = table(_COLUMNS, [row(job, now) for job in jobs], terminal_width())
    if coloured():
        lines = [lines[0], *(_painted(*pair) for pair in zip(lines[1:], jobs, strict=True))]
    click.echo("\n".join(lines))
    if not jobs:
        say("no such jobs; `compute ps -a` lists those that have ended too")
    if page.get("next_cursor"):
        say(f"the {len(jobs)} newest; --limit 0 lists all")


def row(job: Job, now: datetime) -> list[str]:
    """A job's cells in the order of the columns."""
    position = job.get("queue_position")
    nodes = job.get("nodes") or []
    return [
        job["id"][-8:],
        job["name"],
        job["project_id"],
        job["phase"],
        str(job["priority"]),
        amounts.number(job.get("inherited_priority")),
        _time(job, now),
        amounts.number(position),
        remark(job, now),
        "" if not nodes else nodes[0] + (f"+{len(nodes) - 1}" if len(nodes) > 1 else ""),
    ]


def remark(job: Job, now: datetime) -> str:
    """In a word why a job waits, or how it ended."""
    reason, code = job.get("reason"), job.get("exit_code")
    due = amounts.instant(job.get("due_at"))
    if reason:
        return reason["code"]
    if job["phase"] == "held":
        if due is None:
            return "held"
        return f"retry in {amounts.duration(int((due - now).total_seconds()))}"
    if job["phase"] == "failed":
        return f"exit {code}" if code is not None else str(job.get("outcome") or "")
    return ""


def _time(job: Job, now: datetime) -> str:
    started, ended = job.get("started_at"), amounts.instant(job.get("ended_at"))
    if ended is not None:
        return amounts.since(started, ended)
    if job["phase"] in ("queued", "held", "blocked", "suspended"):
        return amounts.since(job.get("queued_since") or job["submitted_at"], now)
    return amounts.since(started, now)


def _painted(line: str, job: Job) -> str:
    phase = job["phase"]
    before, found, after = line.partition(f"  {phase} ")
    if not found:
        return line
    return f"{before}  {click.style(phase, fg=_COLOURS.get(phase, 'yellow'))} {after}"
