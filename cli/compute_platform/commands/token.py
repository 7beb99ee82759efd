"""`compute token` and `compute whoami`: access."""

from __future__ import annotations

from typing import Any

import click

from compute_platform import amounts
from compute_platform.errors import Misused
from compute_platform.session import Session, api_command, at_option, say, write_json, write_lines
from compute_platform.table import Column, table, terminal_width

ROLES = ("viewer", "submitter", "operator", "admin", "agent")


@click.group()
def token() -> None:
    """Create, list and revoke tokens."""


@token.command()
@api_command
@click.argument("principal")
@click.option("--role", "roles", multiple=True, type=click.Choice(ROLES), help="In the whole cell.")
@click.option("--project", "projects", multiple=True, metavar="PROJECT=ROLE", help="In a project.")
@click.option("--expires", metavar="TIME", help="Valid for: 12h, 30d. Default: until revoked.")
@click.option("--node", help="Bind an agent's token to this node.")
def create(
    session: Session,
    as_json: bool,
    principal: str,
    roles: tuple[str, ...],
    projects: tuple[str, ...],
    expires: str | None,
    node: str | None,
) -> None:
    """Make a token; it is shown this once.

    stdout carries the token alone, so that it can go straight into a file.
    """
    body: dict[str, Any] = {"principal": principal, "roles": list(roles)}
    if projects:
        body["projects"] = dict(_grant(text) for text in projects)
    if expires is not None:
        body["expires_in_seconds"] = amounts.parse_duration(expires)
    if node is not None:
        body["node"] = node
    # Without a key: an answer kept for replay would keep the secret.
    answer = session.client.write("POST", "/tokens", body, key="")
    if as_json:
        write_json(answer)
        return
    click.echo(answer["token"])
    say(f"{answer.get('id', 'the token')} for {principal}; it is not shown again")


@token.command("list")
@api_command
@at_option
def list_tokens(session: Session, as_json: bool) -> None:
    """List tokens, without their secrets."""
    page = session.client.pages("/tokens", {}, None)
    if as_json:
        write_json(page)
        return
    columns = [
        Column("TOKEN"),
        Column("PRINCIPAL", least=9),
        Column("ROLES", least=8),
        Column("EXPIRES"),
        Column("REVOKED"),
    ]
    write_lines(table(columns, [_row(item) for item in page["items"]], terminal_width()))


@token.command()
@api_command
@click.argument("token_id")
def revoke(session: Session, as_json: bool, token_id: str) -> None:
    """End a token at once, by its id."""
    from compute_platform.transport import segment

    answer = session.client.write("DELETE", f"/tokens/{segment(token_id)}")
    if as_json:
        write_json(answer)
    else:
        click.echo(token_id)
        say(f"{token_id} is revoked")


@click.command()
@api_command
def whoami(session: Session, as_json: bool) -> None:
    """Show who the token says you are."""
    found = session.client.read("/whoami")
    if as_json:
        write_json(found)
        return
    pairs = [
        ("name", principal_of(found)),
        ("roles", ", ".join(found.get("roles") or []) or "-"),
        (
            "projects",
            ", ".join(f"{k}={v}" for k, v in (found.get("projects") or {}).items()) or "-",
        ),
        ("node", found.get("node") or ""),
        ("server", session.client.transport.url),
    ]
    write_lines([f"{name:<9} {value}" for name, value in pairs if value])


def principal_of(whoami: dict[str, Any]) -> str:
    """The name of who calls."""
    return str(whoami.get("principal") or whoami.get("name") or "")


def _grant(text: str) -> tuple[str, str]:
    project, equals, role = text.partition("=")
    if not project or not equals:
        raise Misused(f"--project {text!r}: write it as PROJECT=ROLE.")
    return project, role


def _row(item: dict[str, Any]) -> list[str]:
    grants = [f"{project}={role}" for project, role in (item.get("projects") or {}).items()]
    revoked = item.get("revoked_at") or item.get("revoked")
    return [
        str(item["id"]),
        str(item.get("principal", "")),
        ",".join([*(item.get("roles") or []), *grants]),
        amounts.clock(item["expires_at"]) if item.get("expires_at") else "never",
        "yes" if revoked else "",
    ]
