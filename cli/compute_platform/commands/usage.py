"""`compute usage` and `compute cost`: what was used, and what for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from compute_platform import amounts
from compute_platform.session import Function, Session, api_command, at_option, write_json, write_lines
from compute_platform.table import Column, table, terminal_width

if TYPE_CHECKING:
    from compute_platform.transport import Query


def _period(function: Function) -> Function:
    for option in (
        click.option("--by", type=click.Choice(["project", "user", "job"]), default="project"),
        click.option("--until", metavar="TIME", help="Up to then, not including it."),
        click.option("--since", metavar="TIME", help="2026-11-24, an RFC 3339 time, or 7d ago."),
        click.option("--project", help="Only of this project."),
    ):
        function = option(function)
    return function


@click.command()
@api_command
@at_option
@_period
def usage(
    session: Session,
    as_json: bool,
    project: str | None,
    since: str | None,
    until: str | None,
    by: str,
) -> None:
    """Show what was used, by project, user or job.

    In hours of a GPU, a CPU and a GiB of memory.
    """
    page = session.client.pages("/usage", _query(project, since, until, by), None)
    if as_json:
        write_json(page)
        return
    quantities = ("gpu_seconds", "cpu_seconds", "memory_gib_seconds")
    rows = [
        [str(item["key"]), *(amounts.hours(item[name]) for name in quantities), str(item["jobs"])]
        for item in page["items"]
    ]
    titles = ("GPU HOURS", "CPU HOURS", "GIB HOURS", "JOBS")
    columns = [Column(by.upper(), least=8), *(Column(title, right=True) for title in titles)]
    write_lines(table(columns, rows, terminal_width()))


@click.command()
@api_command
@at_option
@_period
def cost(
    session: Session,
    as_json: bool,
    project: str | None,
    since: str | None,
    until: str | None,
    by: str,
) -> None:
    """Show what it cost, by project, user or job.

    Amounts are exact.
    """
    page: dict[str, Any] = dict(
        session.client.pages("/cost", _query(project, since, until, by), None)
    )
    if as_json:
        write_json(page)
        return
    parts = ("gpu_micro", "cpu_micro", "memory_micro", "total_micro")
    rows = [
        [str(item["key"]), *(amounts.money(item[part]) for part in parts)] for item in page["items"]
    ]
    rows.append(["all", "", "", "", amounts.money(page["total_micro"])])
    titles = ("GPU", "CPU", "MEMORY", f"TOTAL {page['currency']}")
    columns = [Column(by.upper(), least=8), *(Column(title, right=True) for title in titles)]
    write_lines(table(columns, rows, terminal_width()))


def _query(project: str | None, since: str | None, until: str | None, by: str) -> Query:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    return {
        "project_id": project,
        "since": None if since is None else amounts.parse_instant(since, now),
        "until": None if until is None else amounts.parse_instant(until, now),
        "group_by": by,
    }
