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
    Column("HELD", right=True),
    Column("REBUILD", least=8),
]
_HELD = [
    Column("CONSUMER", least=8),
    Column("STREAM", least=12),
    Column("POSITION", right=True),
    Column("EVENT", least=12),
    Column("HELD", right=True),
    Column("SINCE"),
    Column("ERROR", least=12),
]
POLL_SECONDS = 0.5


@click.group()
def admin() -> None:
    """Look after the platform: its read models, and events they cannot take."""


@admin.command()
@api_command
def views(session: Session, as_json: bool) -> None:
    """List read models, how far each has come, how many streams it holds back, and rebuilds."""
    found = session.client.read("/views")
    if as_json:
        write_json(found)
        return
    rows = [
        [each["view"], str(each["position"]), str(each["lag"]), str(each["quarantined"]), _state(each)]
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


@admin.group()
def quarantine() -> None:
    """Streams held back since an event that could not be taken."""


@quarantine.command("list")
@api_command
def held(session: Session, as_json: bool) -> None:
    """List streams that are held back, by whom, since which event, and why."""
    found = session.client.read("/quarantine")
    if as_json:
        write_json(found)
        return
    rows = [
        [
            each["consumer"],
            each["stream"],
            str(each["position"]),
            each["event"],
            "all" if each["stops"] else str(each["held"]),
            f"{each['since'][:19]}Z",
            each["error"],
        ]
        for each in found["items"]
    ]
    if rows:
        write_lines(table(_HELD, rows, terminal_width()))
    else:
        say("Nothing is held back.")


@quarantine.command()
@api_command
@click.argument("consumer", required=False)
def retry(session: Session, as_json: bool, consumer: str | None) -> None:
    """Take up what CONSUMER holds back, or what all of them do.

    Read models are built anew beside those in use: `compute admin views` says how far they are.
    """
    _report(session.client.write("POST", "/quarantine/retry", {"consumer": consumer}), as_json)


@quarantine.command()
@api_command
@click.argument("stream")
@click.argument("position", type=click.IntRange(min=1))
@click.option("--reason", required=True, help="Why it may be passed over; kept in the log.")
@click.option("--consumer", help="Only by this one, not by all it holds up.")
def discard(
    session: Session,
    as_json: bool,
    stream: str,
    position: int,
    reason: str,
    consumer: str | None,
) -> None:
    """Pass over the event of STREAM at POSITION for ever, and go on with the stream.

    What it said is then missing: later events may not be taken without it either. Nothing undoes
    it; mend what reads the event and `retry` where that can be done.
    """
    body = {"stream": stream, "position": position, "reason": reason, "consumer": consumer}
    _report(session.client.write("POST", "/quarantine/discard", body), as_json)


def _report(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        write_json(answer)
        return
    for consumer in answer["consumers"]:
        click.echo(consumer)
    if not answer["consumers"]:
        say("Nothing is held back.")


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
