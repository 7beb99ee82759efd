"""`compute projects budget`: what a project may use over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from compute_platform import amounts
from compute_platform.errors import Misused
from compute_platform.session import Session, api_command, at_option, say, write_json, write_lines
from compute_platform.table import Column, table, terminal_width

_KEY = ("per", "length", "user")
_LIMITS = ("gpu_seconds", "money_micro")


@click.group()
def budget() -> None:
    """Limit what a project may use over time, and show what is left."""


@budget.command()
@api_command
@at_option
@click.argument("project")
def show(session: Session, as_json: bool, project: str) -> None:
    """Show each budget: used, reserved for what runs, left, the window's end."""
    found = session.client.read(_path(project))
    if as_json:
        write_json(found)
        return
    rows = []
    for item in found["items"]:
        for name in _LIMITS:
            if item[name] is not None:
                rows.append(_row(item, name, item[name], found["currency"]))
    columns = [
        Column("BUDGET", least=12),
        Column("USER", least=6),
        *(Column(title, right=True) for title in ("LIMIT", "USED", "RESERVED", "LEFT")),
        Column("UNTIL"),
    ]
    write_lines(table(columns, rows, terminal_width()))
    if not rows:
        say(f"{project} has no budget; `compute projects budget set` makes one")


@budget.command("set")
@api_command
@click.argument("project")
@click.option(
    "--per",
    required=True,
    metavar="month|week|day|24h|30d",
    help="The window: of the calendar (UTC), or the last so many hours or days.",
)
@click.option("--user", help="One user of the project, or '*' for each; else all together.")
@click.option("--gpu-hours", metavar="N|none", help="A number such as 100 or 2.5.")
@click.option("--money", metavar="N|none", help="In the currency of the prices.")
def set_budget(
    session: Session,
    as_json: bool,
    project: str,
    per: str,
    user: str | None,
    gpu_hours: str | None,
    money: str | None,
) -> None:
    """Limit what may be used in a window of time.

    What is not named keeps its limit; `none` takes a limit away.
    """
    given = {"gpu_hours": gpu_hours, "money": money}
    limits = {name: _limit(name, text) for name, text in given.items() if text is not None}
    if not limits:
        raise Misused("Name a limit: --gpu-hours or --money.")
    kind, length = _window(per)
    mine = {"per": kind, "length": length, "user": user}
    budgets = session.client.read(_path(project))["budgets"]
    kept = [b for b in budgets if any(b[name] != mine[name] for name in _KEY)]
    before = next((b for b in budgets if b not in kept), mine)
    changed = {**before, **limits}
    for exact, name in zip(_LIMITS, ("gpu_hours", "money"), strict=True):
        if name in limits:
            changed.pop(exact, None)
    if any(changed.get(name) is not None for name in (*_LIMITS, "gpu_hours", "money")):
        kept.append(changed)
    answer = session.client.write("PUT", _path(project), {"budgets": kept})
    if as_json:
        write_json(answer)
        return
    click.echo(project)
    say(f"{project}: budget set")


def _row(item: dict[str, Any], name: str, part: dict[str, int], currency: str) -> list[str]:
    rolling = item["per"] in ("hours", "days")
    window = f"last {item['length']} {item['per']}" if rolling else item["per"]
    money = name == "money_micro"
    what = (currency or "money") if money else "GPU-hours"
    text: Callable[[int], str] = amounts.money if money else amounts.hours
    numbers = [text(part[key]) for key in ("limit", "used", "reserved", "left")]
    return [f"{what}, {window}", item["user"] or "all", *numbers, amounts.clock(item["until"])]


def _window(text: str) -> tuple[str, int]:
    if text in ("month", "week", "day"):
        return text, 1
    number, unit = text[:-1], {"h": "hours", "d": "days"}.get(text[-1:])
    if unit is None or not number.isdecimal() or len(number) > 4:
        raise Misused(f"--per: {text!r} is no window: write month, week, day, 24h or 30d.")
    return unit, int(number)


def _limit(name: str, text: str) -> str | None:
    if text == "none":
        return None
    if not text.replace(".", "", 1).isdecimal():
        raise Misused(f"--{name.replace('_', '-')}: {text!r} is neither a number nor none.")
    return text


def _path(project: str) -> str:
    from compute_platform.transport import segment

    return f"/projects/{segment(project)}/budgets"
