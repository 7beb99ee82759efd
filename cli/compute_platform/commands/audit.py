"""`compute audit`: hold the log against what was signed about it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from compute_platform import verify as verifier
from compute_platform.errors import Unreachable
from compute_platform.session import Session, api_command, say, write_json, write_lines

if TYPE_CHECKING:
    from collections.abc import Iterable


@click.group()
def audit() -> None:
    """Export the log with its signatures, and verify it."""


@audit.command()
@api_command
def head(session: Session, as_json: bool) -> None:
    """Show the newest signed head of the log."""
    found = session.client.read("/audit/head")
    if as_json:
        write_json(found)
    elif found["head"] is None:
        say("nothing of the log is signed yet")
    else:
        write_lines([f"{name:<10} {value}" for name, value in found["head"].items()])


@audit.command()
@api_command
@click.option("--to", required=True, type=click.Path(dir_okay=False, path_type=Path))
def export(session: Session, as_json: bool, to: Path) -> None:
    """Write all of the log that is signed, with its heads, to a file.

    The file appears when it is whole.
    """
    import http.client

    from compute_platform.transport import pieces

    part = to.with_name(to.name + ".part")
    try:
        with (
            session.client.transport.open("GET", "/audit/export", timeout=300) as answer,
            part.open("wb") as file,
        ):
            count = _copy(file, pieces(answer))
        part.replace(to)
    except (http.client.HTTPException, OSError) as error:
        raise Unreachable(
            f"The export broke off: {type(error).__name__}: {error}", "Run it again."
        ) from None
    finally:
        part.unlink(missing_ok=True)
    if as_json:
        write_json({"file": str(to), "bytes": count})
    say(f"{count} bytes in {to}; `compute audit verify --key KEY {to}` holds them to the signatures")


def _copy(file: BinaryIO, pieces: Iterable[bytes]) -> int:
    count = 0
    for piece in pieces:
        count += file.write(piece)
    file.flush()
    os.fsync(file.fileno())
    return count


@audit.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def verify(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Verify an export offline, with the public key alone.

    The same program as `python -m compute_platform.verify`.
    """
    ctx.exit(verifier.main(list(words)))


@audit.command()
@api_command
@click.argument("position", type=click.IntRange(min=1))
@click.option("--key", help="Public key, or its file: check the proof here.")
@click.pass_context
def prove(
    ctx: click.Context, session: Session, as_json: bool, position: int, key: str | None
) -> None:
    """Prove that the event at POSITION is in the signed log.

    Exit code 1 if the proof does not hold; without --key it is only fetched.
    """
    proof = session.client.read(f"/audit/proof/{position}")
    if as_json:
        write_json(proof)
    else:
        event = json.loads(proof["envelope"])
        write_lines([f"{name:<12} {event[name]}" for name in ("position", "stream", "name")])
        write_lines([f"{'leaf':<12} {proof['index']} of {proof['head']['size']}"])
    if key is None:
        say("not checked: pass --key with the witness's public key")
        return
    try:
        verifier.inclusion(verifier.read_key(key), proof)
    except (OSError, ValueError) as error:
        raise click.BadParameter(str(error), param_hint="--key") from None
    except verifier.Broken as broken:
        say(f"BROKEN: {broken}")
        ctx.exit(1)
    say("the event is in the signed tree")
