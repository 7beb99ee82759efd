"""`compute nodes`: the machines of the cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from compute_platform import amounts
from compute_platform.session import Session, api_command, at_option, say, write_json, write_lines
from compute_platform.table import Column, table, terminal_width

if TYPE_CHECKING:
    from compute_platform.shapes import Node

_COLUMNS = [
    Column("NODE", least=8),
    Column("POOL", least=6),
    Column("STATE"),
    Column("GPUS", right=True),
    Column("CPU", right=True),
    Column("MEMORY", right=True),
    Column("JOBS", right=True),
    Column("RUNNERS", least=7),
    Column("REASON", least=8),
]


@click.group(invoke_without_command=True)
@api_command
@at_option
def nodes(session: Session, as_json: bool) -> None:
    """List nodes; cordon, drain and uncordon them."""
    if click.get_current_context().invoked_subcommand is None:
        _list(session, as_json)


@nodes.command("list")
@api_command
@at_option
def list_nodes(session: Session, as_json: bool) -> None:
    """List nodes, with what is free of what they have."""
    _list(session, as_json)


@nodes.command()
@api_command
@at_option
@click.argument("node")
def show(session: Session, as_json: bool, node: str) -> None:
    """Show one node with its GPUs and who holds them."""
    found = session.client.node(node)
    if as_json:
        write_json(found)
        return
    pairs = [
        ("node", found["id"]),
        ("pool", found["pool"]),
        ("state", state(found)),
        ("reason", _reason(found)),
        ("cluster", found.get("cluster") or ""),
        ("mismatch", _mismatch(found)),
        ("CPU", _free_of(found, "cpu_milli", amounts.cpu)),
        ("memory", _free_of(found, "memory_bytes", amounts.memory)),
        ("GPUs", _free_of(found, "gpu", str)),
        ("runners", ", ".join(found.get("runners") or [])),
        ("rack", found.get("rack") or ""),
        ("labels", ", ".join(f"{k}={v}" for k, v in (found.get("labels") or {}).items())),
        ("agent", found.get("agent_version") or ""),
        ("jobs", ", ".join(map(str, found.get("jobs") or []))),
    ]
    lines = [f"{name:<8} {value}" for name, value in pairs if value]
    rows = [row for device in found.get("devices") or [] for row in _gpu(device)]
    columns = [Column("GPU"), Column("MODEL"), Column("MEMORY", right=True), Column("JOB")]
    write_lines([*lines, *(["", *table(columns, rows, None)] if rows else [])])


@nodes.command()
@api_command
@click.argument("node")
@click.option("--reason", default="", help="Shown to others.")
def cordon(session: Session, as_json: bool, node: str, reason: str) -> None:
    """Give a node no new work."""
    _command(session, as_json, node, "cordon", {"reason": reason})


@nodes.command()
@api_command
@click.argument("node")
@click.option("--reason", default="", help="Shown to others.")
def drain(session: Session, as_json: bool, node: str, reason: str) -> None:
    """Give a node no new work, and move away what runs there."""
    _command(session, as_json, node, "drain", {"reason": reason})


@nodes.command()
@api_command
@click.argument("node")
def uncordon(session: Session, as_json: bool, node: str) -> None:
    """Let a node take new work again."""
    _command(session, as_json, node, "uncordon", {})


def _gpu(device: Any) -> list[list[str]]:
    """A GPU, then the MIG instances that it is given away as."""
    memory, cut = amounts.memory(device["memory_bytes"]), device.get("mig") or []
    whole = [device["id"], device["model"], memory, "MIG" if cut else device["job"] or ""]
    return [whole, *([f"  {each['id']}", "", "", each["job"] or ""] for each in cut)]


def state(node: Node) -> str:
    """A node's state in a word."""
    if node.get("absent"):
        return "absent"
    if not node["alive"]:
        return "lost"
    if node.get("draining"):
        return "draining"
    return "cordoned" if node.get("cordoned") else "ready"


def _list(session: Session, as_json: bool) -> None:
    page = session.client.pages("/nodes", {}, None)
    if as_json:
        write_json(page)
        return
    found: list[Any] = page["items"]
    write_lines(table(_COLUMNS, [_row(node) for node in found], terminal_width()))
    if not found:
        say("no node has registered yet")


def _row(node: Node) -> list[str]:
    return [
        node["id"],
        node["pool"],
        state(node),
        _free_of(node, "gpu", str),
        _free_of(node, "cpu_milli", amounts.cpu),
        _free_of(node, "memory_bytes", amounts.memory),
        str(len(node.get("jobs") or [])),
        ",".join(node.get("runners") or []),
        "; ".join(filter(None, [_reason(node), _mismatch(node)])),
    ]


def _reason(node: Node) -> str:
    """Why the node is cordoned, and until when where that ends by itself."""
    reason, until = node.get("cordon_reason") or "", node.get("cordoned_until")
    return f"{reason}, until {until[:19]}Z" if until else reason


def _mismatch(node: Node) -> str:
    """How the node differs from what the inventory says."""
    found = ", ".join(text.replace("_", " ") for text in node.get("mismatches") or [])
    return f"not as expected: {found}" if found else ""


def _free_of(node: Any, quantity: str, text: Any) -> str:
    return f"{text(node['free'][quantity])}/{text(node['capacity'][quantity])}"


def _command(
    session: Session, as_json: bool, node: str, command: str, body: dict[str, str]
) -> None:
    from compute_platform.transport import segment

    answer = session.client.write("POST", f"/nodes/{segment(node)}/{command}", body)
    if as_json:
        write_json(answer)
    else:
        click.echo(node)
        say(f"{node}: {command} done")
