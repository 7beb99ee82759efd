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
    """Show, set and compare the policy: scheduler, inventory, sharing tree, prices."""


@policy.command()
@api_command
@at_option
@click.argument("part", type=click.Choice(PARTS), required=False)
def show(session: Session, as_json: bool, part: str | None) -> None:
    """Show the whole policy as YAML, or one part of it: prices are millionths an hour.

    What is printed can be given to `compute policy set -f` again.
    """
    if part is None:
        from compute_platform.commands import whole_policy

        whole_policy.show(session, as_json)
        return
    found = session.client.read(f"/policy/{part}")
    if as_json:
        write_json(found)
    else:
        write_lines([f"{name} = {json.dumps(value)}" for name, value in found.items()])


@policy.command("set")
@api_command
@click.argument("part", type=click.Choice(PARTS), required=False)
@click.argument("settings", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("-f", "--file", "place", help="A whole policy in JSON or YAML; - is standard input.")
def set_policy(
    session: Session,
    as_json: bool,
    part: str | None,
    settings: tuple[str, ...],
    place: str | None,
) -> None:
    """Set the whole policy from a YAML file, or one part of it.

    `compute policy set -f FILE` has the sections scheduler, clusters, cohorts and prices: it is
    checked whole and applied whole, and a section that is left out stays as it is. Of one part,
    values are JSON: `compute policy set scheduler grace_seconds=60`. What is not named then stays
    as it is; a file replaces the part.
    """
    if part is None:
        if settings or not place:
            raise Misused("Name a part and NAME=VALUE pairs, or give a whole policy with --file.")
        from compute_platform.commands import whole_policy

        whole_policy.set_from(session, as_json, place)
        return
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


@policy.command()
@api_command
@click.option("-f", "--file", "place", required=True, help="A policy in YAML; - is standard input.")
def diff(session: Session, as_json: bool, place: str) -> None:
    """Show what a file would change: exit code 0 if nothing, 1 if something."""
    from compute_platform.commands import whole_policy

    click.get_current_context().exit(whole_policy.diff(session, as_json, place))


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
