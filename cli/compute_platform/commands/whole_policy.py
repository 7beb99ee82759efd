"""The whole policy as one YAML document: set, shown, and held against what is in force."""

from __future__ import annotations

from typing import Any

from compute_platform import exits
from compute_platform.errors import Refused
from compute_platform.marked import Document, text_of
from compute_platform.session import Session, say, write_json, write_lines

ENVELOPE = ("version", "position")


def show(session: Session, as_json: bool) -> None:
    """Print it as YAML."""
    found = session.client.read("/policy")
    if as_json:
        write_json(found)
    else:
        write_lines([text_of(found).rstrip()])


def set_from(session: Session, as_json: bool, place: str) -> None:
    """Apply a file, all of it or nothing."""
    document = Document(place)
    try:
        answer = session.client.write("PUT", "/policy", document.fields)
    except Refused as refused:
        raise document.wrong(refused) from None
    if as_json:
        write_json(answer)
    else:
        say(f"policy set: {', '.join(document.fields) or 'nothing was given'}")


def diff(session: Session, as_json: bool, place: str) -> int:
    """Print what the file would change, a line a field; the exit code says whether it does."""
    document = Document(place)
    try:
        wanted = session.client.write("POST", "/policy:check", document.fields)
    except Refused as refused:
        raise document.wrong(refused) from None
    present = session.client.read("/policy")
    sections = [name for name in wanted if name not in ENVELOPE]
    before = _flat({name: present.get(name) for name in sections})
    after = _flat({name: wanted[name] for name in sections})
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    found = [{"field": n, "now": before.get(n), "wanted": after.get(n)} for n in changed]
    if as_json:
        write_json({"differences": found})
    elif found:
        write_lines([f"{x['field']}: {_text(x['now'])} -> {_text(x['wanted'])}" for x in found])
    return exits.DIFFERENT if found else exits.FINE


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    """Every field by its path; members of a list by their id or name, where they have one."""
    if isinstance(value, dict) and value:
        members = value.items()
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        members = {str(_name(each) or n): each for n, each in enumerate(value)}.items()
    else:
        return {path: value}
    found: dict[str, Any] = {}
    for name, inner in members:
        found |= _flat(inner, f"{path}.{name}".lstrip("."))
    return found


def _name(member: dict[str, Any]) -> object:
    return member.get("id") or member.get("name") or member.get("pool")


def _text(value: Any) -> str:
    import json

    return "nothing" if value is None else json.dumps(value)
