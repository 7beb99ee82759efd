"""`compute policy`: how the scheduler decides, and what things cost."""

from __future__ import annotations

import json
from typing import Any

import click

from compute_platform.errors import Misused
from compute_platform.session import Session, api_command, at_option, say, write_json, write_lines

PARTS = ("scheduler", "cohorts", "prices")
ENVELOPE = ("version", "position")
"""What an answer carries beside the policy itself."""


@click.group()
def policy() -> None:
    """Show and set the scheduler's policy, the sharing tree and the prices."""


@policy.command()
@api_command
@at_option
@click.argument("part", type=click.Choice(PARTS), default="scheduler")
def show(session: Session, as_json: bool, part: str) -> None:
    """Show the scheduler's policy, the sharing tree, or the prices (millionths an hour)."""
    found = session.client.read(f"/policy/{part}")
    if as_json:
        write_json(found)
    else:
        write_lines([f"{name} = {json.dumps(value)}" for name, value in found.items()])


@policy.command("set")
@api_command
@click.argument("part", type=click.Choice(PARTS))
@click.argument("settings", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("-f", "--file", "place", help="A whole policy in JSON or YAML; - is standard input.")
def set_policy(
    session: Session, as_json: bool, part: str, settings: tuple[str, ...], place: str | None
) -> None:
    """Set the scheduler's policy, the sharing tree or the prices.

    Values are JSON: `compute policy set scheduler grace_seconds=60`.
    What is not named stays as it is; a file replaces all.
    """
    if bool(settings) == bool(place):
        raise Misused("Give NAME=VALUE pairs, or a file with --file.")
    if place:
        body = _from_file(place)
    else:
        present = session.client.read(f"/policy/{part}")
        body = {name: value for name, value in present.items() if name not in ENVELOPE}
        for text in settings:
            _apply(text, body)
    answer = session.client.write("PUT", f"/policy/{part}", body)
    if as_json:
        write_json(answer)
    else:
        say(f"{part} policy set")


def _from_file(place: str) -> dict[str, Any]:
    from compute_platform import jobfile

    documents = jobfile.documents(place)
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise Misused(f"{place}: a policy is one mapping of names to values.")
    return documents[0]


def _apply(text: str, policy: dict[str, Any]) -> None:
    """Set what NAME=VALUE says; NAME may be `gpus.A100`, a name within a mapping."""
    path, equals, value = text.partition("=")
    name, dot, inner = path.partition(".")
    if not name or not equals or (dot and not inner):
        raise Misused(f"{text!r}: write it as NAME=VALUE.")
    _check_name(name, policy)
    if not dot:
        policy[name] = _value(value)
    elif isinstance(policy.get(name), dict):
        policy[name] = {**policy[name], inner: _value(value)}
    else:
        raise Misused(f"{name} holds no names of its own.")


def _check_name(name: str, present: dict[str, Any]) -> None:
    if name not in present:
        from difflib import get_close_matches

        near = get_close_matches(name, present, 1, 0.4)
        there = f"There are: {', '.join(present)}." if present else "Set them all with --file."
        hint = f"Did you mean {near[0]}?" if near else there
        raise Misused(f"There is no setting {name!r}.", hint)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
