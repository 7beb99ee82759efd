"""`compute admin`: what keeps the platform itself in order."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from compute_platform import exits
from compute_platform.session import Session, api_command, say, write_json, write_lines
from compute_platform.table import Column, table, terminal_width

if TYPE_CHECKING:
    from compute_platform.shapes import View

_COLUMNS = [
    Column("VIEW", least=8),
    Column("POSITION", right=True),
    Column("LAG", right=True),
    Column("REBUILD", least=8),
]
POLL_SECONDS = 0.5


@click.group()
def admin() -> None:
    """Look after the platform: its read models."""


@admin.command()
@api_command
def views(session: Session, as_json: bool) -> None:
    """List read models, how far each has come, and rebuilds."""
    found = session.client.read("/views")
    if as_json:
        write_json(found)
        return
    rows = [
        [each["view"], str(each["position"]), str(each["lag"]), _state(each)]
        for each in found["items"]
    ]
    write_lines(table(_COLUMNS, rows, terminal_width()))


@admin.command()
@api_command
@click.argument("view")
@click.option("--no-wait", is_flag=True, help="Return at once.")
def rebuild(session: Session, as_json: bool, view: str, no_wait: bool) -> None:
    """Build a read model anew from the log.

    The new table grows beside the one in use, which answers meanwhile, and takes its place at the
    end. Ctrl-C stops the waiting, not the rebuild. Exit code 65 if it failed.
    """
    from compute_platform.transport import segment

    found: Any = session.client.write("POST", f"/views/{segment(view)}/rebuild", {})
    shown = ""
    while not no_wait and _goes_on(found):
        if (state := f"{view}: {_state(found)}") != shown:
            say(shown := state)
        time.sleep(POLL_SECONDS)
        items = session.client.read("/views")["items"]
        found = next(each for each in items if each["view"] == found["view"])
    if as_json:
        write_json(found)
    else:
        click.echo(view)
    say(f"{view}: {_state(found)}")
    if found["rebuild"]["error"]:
        click.get_current_context().exit(exits.REFUSED)


def _goes_on(view: View) -> bool:
    rebuild = view["rebuild"]
    return rebuild is not None and not (rebuild["finished_at"] or rebuild["error"])


def _state(view: View) -> str:
    rebuild = view["rebuild"]
    if rebuild is None:
        return ""
    if rebuild["error"]:
        return f"failed: {rebuild['error']}"
    if rebuild["finished_at"]:
        return f"done at {rebuild['finished_at'][:19]}Z, at position {rebuild['position']}"
    return f"at position {rebuild['position']} of {view['position']}"
