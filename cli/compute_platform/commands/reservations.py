"""`compute reservations`: nodes kept for some on a schedule, or for nobody (maintenance)."""

from __future__ import annotations

from typing import Any

import click

from compute_platform import amounts
from compute_platform.session import Session, api_command, at_option, say, write_json, write_lines
from compute_platform.table import Column, table, terminal_width

_COLUMNS = [
    Column("NAME", least=8),
    Column("STATE"),
    Column("FROM"),
    Column("UNTIL"),
    Column("AGAIN"),
    Column("FOR", least=8),
    Column("NODES", least=8),
    Column("REASON", least=6),
]


@click.group(invoke_without_command=True)
@api_command
@at_option
def reservations(session: Session, as_json: bool) -> None:
    """List reservations and maintenance windows; create and cancel them."""
    if click.get_current_context().invoked_subcommand is None:
        _list(session, as_json, past=False)


@reservations.command("list")
@api_command
@at_option
@click.option("-a", "--all", "past", is_flag=True, help="Also those that are over or cancelled.")
def list_reservations(session: Session, as_json: bool, past: bool) -> None:
    """List reservations with the window under way or next, and the nodes it keeps."""
    _list(session, as_json, past)


@reservations.command()
@api_command
@click.argument("name")
@click.option("--start", required=True, metavar="TIME", help="now, +2h, or an RFC 3339 time.")
@click.option("--for", "length", required=True, metavar="TIME", help="How long: 90m, 4h, 2d.")
@click.option("--every", metavar="TIME", help="Again every 1d, 7d; at least an hour.")
@click.option("--until", metavar="TIME", help="No window starts from then on.")
@click.option("--node", "nodes", multiple=True, help="Keep this node; may be given again.")
@click.option("--gpus", type=click.IntRange(1), help="Keep whole nodes with so many GPUs.")
@click.option("--gpu-type", help="With --gpus: of this model.")
@click.option("--pool", help="With --gpus: of this pool.")
@click.option("--project", "projects", multiple=True, help="Jobs of this project may use it.")
@click.option("--user", "users", multiple=True, help="Jobs of this user may use it.")
@click.option("--job", "jobs", multiple=True, metavar="ID", help="This job may use it.")
@click.option("--maintenance", is_flag=True, help="For nobody; what runs there is moved away.")
@click.option("--notice", metavar="TIME", help="Jobs without estimate start no later: 24h.")
@click.option("--reason", default="", help="Shown to others.")
def create(session: Session, as_json: bool, name: str, **wanted: Any) -> None:
    """Keep nodes for some, or for nobody, on a schedule.

    \b
    compute reservations create course --start 2026-12-01T08:00Z --for 8h --every 1d \\
        --until 2026-12-06 --gpus 16 --gpu-type H100 --project teaching
    compute reservations create fans --start +2h --for 4h --node node-007 --maintenance
    """
    now = session.client.now
    body: dict[str, Any] = {
        "name": name,
        "start": amounts.parse_start(wanted["start"], now),
        "duration_seconds": amounts.parse_duration(wanted["length"]),
        "maintenance": wanted["maintenance"],
        "reason": wanted["reason"],
        **{part: list(wanted[part]) for part in ("nodes", "projects", "users", "jobs")},
    }
    for field in ("gpus", "gpu_type", "pool"):
        if wanted[field] is not None:
            body[field] = wanted[field]
    for field, option in (("every_seconds", "every"), ("notice_seconds", "notice")):
        if wanted[option] is not None:
            body[field] = amounts.parse_duration(wanted[option])
    if wanted["until"] is not None:
        body["until"] = amounts.parse_start(wanted["until"], now)
    answer = session.client.write("POST", "/reservations", body)
    if as_json:
        write_json(answer)
    else:
        click.echo(name)
        say(f"{name} is {answer['state']}")


@reservations.command()
@api_command
@click.argument("name")
def cancel(session: Session, as_json: bool, name: str) -> None:
    """Keep nothing any more under this name."""
    from compute_platform.transport import segment

    answer = session.client.write("DELETE", f"/reservations/{segment(name)}")
    if as_json:
        write_json(answer)
    else:
        click.echo(name)
        say(f"{name} is cancelled")


def _list(session: Session, as_json: bool, past: bool) -> None:
    page = session.client.pages("/reservations", {"past": "true"} if past else {}, None)
    if as_json:
        write_json(page)
        return
    rows = [_row(item) for item in page["items"]]
    write_lines(table(_COLUMNS, rows, terminal_width()))
    if not rows:
        say("nothing is reserved")


def _row(item: dict[str, Any]) -> list[str]:
    window = item["window"]
    every = item["every_seconds"]
    return [
        item["name"],
        item["state"],
        amounts.clock(window["start"] if window else item["start"]),
        amounts.clock(window["end"] if window else None),
        amounts.duration(every) if every else "",
        _whom(item),
        ",".join(window["nodes"] if window else item["nodes"]),
        item["reason"],
    ]


def _whom(item: dict[str, Any]) -> str:
    if item["maintenance"]:
        return "nobody"
    named = [*item["projects"], *item["users"], *item["jobs"]]
    return ",".join(named) or "others"
