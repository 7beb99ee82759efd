"""`compute pools` and `compute queue`: what there is, and who waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from compute_platform import amounts
from compute_platform.session import Session, api_command, at_option, say, write_json, write_lines
from compute_platform.table import Column, table, terminal_width

if TYPE_CHECKING:
    from datetime import datetime

    from compute_platform.shapes import Queue, QueueItem


@click.command()
@api_command
@at_option
def pools(session: Session, as_json: bool) -> None:
    """Show capacity by kind of node.

    Amounts are free/all.
    """
    page = session.client.pages("/resources/pools", {}, None)
    if as_json:
        write_json(page)
        return
    columns = [
        Column("POOL", least=6),
        Column("NODES", right=True),
        Column("MODELS", least=6),
        Column("GPUS", right=True),
        Column("CPU", right=True),
        Column("MEMORY", right=True),
    ]
    rows = [
        [
            pool["name"],
            f"{pool['alive']}/{pool['nodes']}",
            ",".join(pool.get("gpu_models") or []),
            _free_of(pool, "gpu", str),
            _free_of(pool, "cpu_milli", amounts.cpu),
            _free_of(pool, "memory_bytes", amounts.memory),
        ]
        for pool in page["items"]
    ]
    write_lines(table(columns, rows, terminal_width()))
    if not rows:
        say("no node has registered yet")


@click.command()
@api_command
@at_option
@click.option("--project", help="Only of this project.")
@click.option("--why", is_flag=True, help="Only how many wait for each reason.")
@click.option("--waits", is_flag=True, help="Only what all jobs, ended ones too, waited for.")
@click.option("-n", "--limit", default=200, show_default=True, help="At most; 0 for all.")
def queue(
    session: Session, as_json: bool, project: str | None, why: bool, waits: bool, limit: int
) -> None:
    """Show the queue in order, and why it waits.

    INH is the priority that a job inherits from those that wait for it.
    """
    if waits:
        _waits(session, as_json, project)
        return
    found = session.client.queue(project, 1 if why and not as_json else limit or None)
    if as_json:
        write_json(found)
        return
    if not why:
        write_lines([*_waiting(found["items"], session.client.now), ""])
        if len(found["items"]) < found["total"]:
            say(f"the first {len(found['items'])} of {found['total']}; --limit 0 shows all")
    write_lines(_reasons(found))


def _waits(session: Session, as_json: bool, project: str | None) -> None:
    """The wait ledgers of all jobs together."""
    found = session.client.read("/waits", {"project_id": project})
    if as_json:
        write_json(found)
        return
    total = found["total_us"]
    rows = [
        [
            item["cause"],
            str(item["jobs"]),
            amounts.span(item["waited_us"]),
            f"{100 * item['waited_us'] / max(1, total):.0f} %",
        ]
        for item in found["items"]
    ]
    names = ("JOBS", "TIME", "SHARE")
    columns = [Column("WAITED FOR"), *(Column(name, right=True) for name in names)]
    write_lines(table(columns, [*rows, ["all", "", amounts.span(total), ""]], None))


def _waiting(items: list[QueueItem], now: datetime) -> list[str]:
    columns = [
        Column("POS", right=True),
        Column("ID"),
        Column("NAME", least=8),
        Column("PROJECT", least=7),
        Column("USER", least=6),
        Column("PRI", right=True),
        Column("INH", right=True, rare=True),
        Column("WAITS", right=True),
        Column("REASON", least=10, kept=True),
    ]
    rows = []
    for item in items:
        reason = item.get("reason")
        rows.append(
            [
                str(item["queue_position"]),
                item["id"][-8:],
                item["name"],
                item["project_id"],
                item["user"],
                str(item["priority"]),
                amounts.number(item.get("inherited_priority")),
                amounts.since(item["queued_since"], now),
                reason["code"] if reason else "",
            ]
        )
    return table(columns, rows, terminal_width())


def _reasons(found: Queue) -> list[str]:
    by_reason = sorted(found["by_reason"].items(), key=lambda pair: (-pair[1], pair[0]))
    rows = [[code, str(count)] for code, count in by_reason]
    columns = [Column("REASON"), Column("JOBS", right=True)]
    return table(columns, [*rows, ["all", str(found["total"])]], None)


def _free_of(pool: Any, quantity: str, text: Any) -> str:
    return f"{text(pool['free'][quantity])}/{text(pool['capacity'][quantity])}"
