"""`compute projects`: projects, their members, quotas and budgets."""

from __future__ import annotations

from typing import Any

import click

from compute_platform import amounts
from compute_platform.commands.budget import budget
from compute_platform.errors import Misused
from compute_platform.session import Session, api_command, at_option, say, write_json, write_lines
from compute_platform.table import Column, table, terminal_width

_LABELS = {"gpu": "GPUs", "cpu_milli": "CPU", "memory_bytes": "memory"}


@click.group(invoke_without_command=True)
@api_command
@at_option
def projects(session: Session, as_json: bool) -> None:
    """List and change projects, members, quotas, budgets."""
    if click.get_current_context().invoked_subcommand is None:
        _list(session, as_json)


projects.add_command(budget)


@projects.command("list")
@api_command
@at_option
def list_projects(session: Session, as_json: bool) -> None:
    """List the projects you may see."""
    _list(session, as_json)


@projects.command()
@api_command
@click.argument("project")
@click.option("--description", default="")
def create(session: Session, as_json: bool, project: str, description: str) -> None:
    """Begin a project."""
    body = {"id": project, "description": description}
    _done(session.client.write("POST", "/projects", body), as_json, project, "created")


@projects.command()
@api_command
@at_option
@click.argument("project")
def show(session: Session, as_json: bool, project: str) -> None:
    """Show a project: members, quota, what it holds now."""
    found = session.client.read(_path(project))
    if as_json:
        write_json(found)
        return
    lines = [f"project      {found['id']}", f"description  {found.get('description') or '-'}", ""]
    quota, used = found.get("quota") or {}, found.get("used") or {}
    names = [name for name in dict.fromkeys([*quota, *used]) if name != "gpu_milli"]
    rows = [
        [_LABELS.get(name, name), _amount(name, used.get(name, 0)), _amount(name, quota.get(name))]
        for name in names
    ]
    columns = [Column("QUOTA"), Column("USED", right=True), Column("LIMIT", right=True)]
    lines += [*table(columns, rows, None), ""]
    lines += table([Column("MEMBER"), Column("ROLE")], members(found), None)
    write_lines(lines)


@projects.command()
@api_command
@click.argument("project")
@click.argument("principal")
@click.option("--role", type=click.Choice(["viewer", "submitter"]), default="submitter")
@click.option("--remove", is_flag=True, help="Take the role away.")
def member(
    session: Session, as_json: bool, project: str, principal: str, role: str, remove: bool
) -> None:
    """Give a principal a role in a project, or take it away."""
    from compute_platform.transport import segment

    path = f"{_path(project)}/members/{segment(principal)}"
    client = session.client
    answer = client.write("DELETE", path) if remove else client.write("PUT", path, {"role": role})
    _done(
        answer, as_json, principal, f"removed from {project}" if remove else f"{role} of {project}"
    )


@projects.command()
@api_command
@click.argument("project")
@click.option("--gpus", metavar="N|none")
@click.option("--cpu", metavar="N|none", help="A number or a quantity.")
@click.option("--memory-gb", metavar="N|none", help="GiB.")
def quota(
    session: Session,
    as_json: bool,
    project: str,
    gpus: str | None,
    cpu: str | None,
    memory_gb: str | None,
) -> None:
    """Limit what a project may hold at one moment.

    What is not named keeps its limit; `none` takes a limit away.
    """
    asked = {"gpu": gpus, "cpu": cpu, "memory_gb": memory_gb}
    given = {name: _limit(name, text) for name, text in asked.items() if text is not None}
    if not given:
        raise Misused("Name a limit: --gpus, --cpu or --memory-gb.")
    current = present_limits(session.client.read(_path(project)).get("quota") or {})
    answer = session.client.write("PUT", f"{_path(project)}/quota", {**current, **given})
    _done(answer, as_json, project, "quota set")


@projects.command()
@api_command
@click.argument("project")
@click.argument("priority", type=click.IntRange(0, 1000))
def inherit(session: Session, as_json: bool, project: str, priority: int) -> None:
    """Let jobs go first for those that wait for them, up to PRIORITY.

    With 0, as it is to begin with, no priority is inherited.
    """
    body = {"max_priority": priority}
    answer = session.client.write("PUT", f"{_path(project)}/inheritance", body)
    _done(answer, as_json, project, f"jobs inherit at most priority {priority}")


def present_limits(quota: dict[str, Any]) -> dict[str, Any]:
    """A quota as answered, in the form in which it is set; exact, or Misused."""
    limits: dict[str, Any] = {"gpu": quota.get("gpu"), "cpu": None, "memory_gb": None}
    if limits["gpu"] is None and quota.get("gpu_milli") is not None:
        limits["gpu"] = quota["gpu_milli"] // 1000
    if quota.get("cpu_milli") is not None:
        limits["cpu"] = f"{quota['cpu_milli']}m"
    elif quota.get("cpu") is not None:
        limits["cpu"] = quota["cpu"]
    if quota.get("memory_bytes") is not None:
        whole, rest = divmod(quota["memory_bytes"], 2**30)
        if rest:
            raise Misused("The memory limit is no whole number of GiB: name --memory-gb too.")
        limits["memory_gb"] = whole
    elif quota.get("memory_gb") is not None:
        limits["memory_gb"] = quota["memory_gb"]
    return limits


def members(project: dict[str, Any]) -> list[list[str]]:
    """Members as (principal, role), from a mapping or a list of objects."""
    found = project.get("members") or {}
    if isinstance(found, dict):
        return [[str(name), str(role)] for name, role in found.items()]
    return [[str(item.get("principal", "")), str(item.get("role", ""))] for item in found]


def _list(session: Session, as_json: bool) -> None:
    page = session.client.pages("/projects", {}, None)
    if as_json:
        write_json(page)
        return
    rows = [[item["id"], item.get("description") or ""] for item in page["items"]]
    columns = [Column("PROJECT"), Column("DESCRIPTION", least=8)]
    write_lines(table(columns, rows, terminal_width()))
    if not rows:
        say("no project that you may see; `compute projects create NAME` makes one")


def _limit(name: str, text: str) -> str | int | None:
    if text == "none":
        return None
    if text.isdecimal():
        return int(text)
    if name == "cpu":
        return text
    raise Misused(f"{name}: {text!r} is neither a whole number nor none.")


def _amount(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if name == "cpu_milli":
        return amounts.cpu(value)
    return amounts.memory(value) if name == "memory_bytes" else str(value)


def _path(project: str) -> str:
    from compute_platform.transport import segment

    return f"/projects/{segment(project)}"


def _done(answer: dict[str, Any], as_json: bool, name: str, what: str) -> None:
    if as_json:
        write_json(answer)
    else:
        click.echo(name)
        say(f"{name}: {what}")
