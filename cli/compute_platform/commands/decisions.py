"""`compute audit`: what was decided, computed anew from the log, explained, and rehearsed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import click

from compute_platform import amounts, exits
from compute_platform.errors import Misused
from compute_platform.session import (
    Session,
    api_command,
    job_argument,
    say,
    write_json,
    write_lines,
)
from compute_platform.table import Column, table, terminal_width

if TYPE_CHECKING:
    from http.client import HTTPResponse

    from compute_platform.shapes import JsonObject

_FLEET = re.compile(r"([+-]\d{1,5})x([A-Za-z0-9._-]*)")
_MOMENT = "A log position, or a time such as 2026-11-24T08:00Z."
QUIET_SECONDS = 600.0
"""How long the server may compute without a word."""
_FAULTS = {
    "decided_otherwise": "this code comes to another decision",
    "record_changed": "the log no longer holds what the receipt was given for",
    "no_receipt": "a decision that no receipt covers",
    "read_back": "decided without having read an earlier decision",
    "part_missing": "a part of a recorded plan is missing",
}


def _window(function: Any) -> Any:
    for option, name in (("--to", "end"), ("--from", "begin")):
        function = click.option(option, name, metavar="MOMENT", help=_MOMENT)(function)
    return function


@click.command()
@api_command
@_window
@click.option("--fast", is_flag=True, help="Begin from a kept state near --from.")
def replay(
    session: Session, as_json: bool, begin: str | None, end: str | None, fast: bool
) -> None:
    """Compute every decision anew and compare it with its receipt.

    Says which is the first that does not come out, what was decided then and what would be
    now; exit code 1 if there is one.
    """
    found = _ask(session, "replay", {"from": begin, "to": end, "use_kept": fast})
    difference = found["difference"]
    if as_json:
        write_json(found)
    else:
        write_lines(_tally(found))
        if difference:
            write_lines(_difference(difference))
    if difference:
        click.get_current_context().exit(exits.DIFFERENT)


def _tally(found: JsonObject) -> list[str]:
    lines = [
        f"read to position {found['position']}: {found['events']} events",
        f"confirmed: {found['decisions']} decided events under {found['receipts']} receipts",
    ]
    if found["cut_short"]:
        lines.append(f"plans cut short by another writer: {found['cut_short']}")
    if found["unconfirmed"]:
        held = "compared, not recomputed, as some streams could not be read"
        lines.append(f"{held}: {found['unconfirmed']} receipts")
    if found["passed_over"]:
        lines.append(f"passed over, as somebody discarded them: {found['passed_over']} events")
    if found["before"]:
        lines.append(f"from before there were receipts: {found['before']} decided events")
    return lines


def _difference(found: JsonObject) -> list[str]:
    return [
        "",
        f"FIRST DIFFERENCE at position {found['position']}: {_FAULTS[found['fault']]}",
        f"decided with the log read to {found['read']}, by planner version {found['planner']}",
        f"then: {found['then'] or 'nothing'}",
        f"now:  {found['now'] or 'nothing'}",
    ]


@click.command()
@api_command
@job_argument
@click.option("--at", metavar="MOMENT", help=_MOMENT + " Default: now.")
def explain(session: Session, as_json: bool, job: str, at: str | None) -> None:
    """Say what was last decided about a job at a moment, and why.

    Shows the receipt that covers the decision, the queue around the job and who was placed.
    """
    found = _ask(session, "explain", {"job": session.job(job), "at": at})
    if as_json:
        write_json(found)
        return
    head = f"{found['job']} ({found['name']}) was {found['phase']}"
    write_lines([f"{head} at position {found['position']}, {_clock(found['at'])}"])
    decision = found["decision"]
    if decision is None:
        write_lines(["The scheduler had decided nothing about it."])
    else:
        write_lines(_decision(decision))
    if found["moment"]:
        write_lines(["", "A cycle at that moment would have said:", *_cycle(found["moment"])])


def _decision(found: JsonObject) -> list[str]:
    import json

    data = json.dumps(found["data"], separators=(",", ":"), ensure_ascii=False)
    lines = [
        "",
        f"Last decision: {found['name']} at position {found['position']}, {_clock(found['at'])}",
        f"  {data}",
    ]
    if found["receipt"] is None:
        return [*lines, "No receipt covers it: it is from before there were any."]
    verdict = "comes out again" if found["confirmed"] else "does NOT come out again"
    lines += [
        f"Receipt {found['receipt']}: log read to {found['read']}, policy {found['policy']},"
        f" planner {found['planner']}; {verdict}",
        f"  sha256 {found['plan']}",
    ]
    return [*lines, *(_cycle(found["cycle"]) if found["cycle"] else ())]


def _cycle(found: JsonObject) -> list[str]:
    columns = [
        Column("PLACE", right=True),
        Column("JOB", least=8),
        Column("PRIORITY", right=True),
        Column("DECIDED", least=20),
    ]
    lines = table(columns, [_row(each) for each in found["queue"]], terminal_width())
    total = found["placed_total"]
    if total:
        shown = len(found["placed"])
        lines += [f"Placed in it, the first {shown} of {total}:" if total > shown else "Placed in it:"]
        lines += table(columns, [_row(each) for each in found["placed"]], terminal_width())
    return [f"Queue of {found['queue_length']}:", *lines]


def _row(entry: JsonObject) -> list[str]:
    return [str(entry["place"]), entry["name"], str(entry["priority"]), entry["text"]]


@click.command()
@api_command
@_window
@click.option("--policy", metavar="FILE", help="Scheduler settings in YAML or JSON; - is stdin.")
@click.option("--quota", "quotas", multiple=True, metavar="PROJECT:gpu=N", help="gpu=none: no limit.")
@click.option("--nodes", multiple=True, metavar="+NxMODEL", help="N more such nodes, -N fewer.")
def whatif(
    session: Session,
    as_json: bool,
    begin: str | None,
    end: str | None,
    policy: str | None,
    quotas: tuple[str, ...],
    nodes: tuple[str, ...],
) -> None:
    """Rehearse what was submitted under another policy, quota or fleet.

    Shows three columns: what happened, a rehearsal of the same, and one as wished. The
    difference of the first two is the error of rehearsing; docs/audit.md says what is assumed.
    """
    wish = _wish(policy, quotas, nodes)
    found = _ask(session, "whatif", {"from": begin, "to": end, **wish})
    if as_json:
        write_json(found)
    else:
        write_lines(_side_by_side(found))


def _wish(policy: str | None, quotas: tuple[str, ...], nodes: tuple[str, ...]) -> JsonObject:
    settings: dict[str, Any] | None = None
    limits: dict[str, dict[str, int | None]] = {}
    if policy:
        from compute_platform import jobfile

        documents = jobfile.documents(policy)
        if len(documents) != 1 or not isinstance(documents[0], dict):
            raise Misused(f"{policy}: a policy is one mapping of names to values.")
        settings = dict(documents[0])
    for text in quotas:
        project, _, limit = text.partition(":")
        name, equals, value = limit.partition("=")
        if not project or not equals or name not in ("gpu", "cpu") or not _is_limit(value):
            raise Misused(f"{text!r}: write it as PROJECT:gpu=N or PROJECT:cpu=N, N or none.")
        amount = None if value == "none" else int(value)
        field = "gpu" if name == "gpu" else "cpu_milli"
        scaled = amount if amount is None or name == "gpu" else amount * 1000
        limits.setdefault(project, {})[field] = scaled
    return {"policy": settings, "quotas": limits, "nodes": [_fleet(text) for text in nodes]}


def _is_limit(value: str) -> bool:
    return value == "none" or (value.isascii() and value.isdigit() and len(value) < 10)


def _fleet(text: str) -> JsonObject:
    match = _FLEET.fullmatch(text)
    if match is None:
        raise Misused(f"{text!r}: write it as +4xH100 for four more nodes with H100, or -1xA100.")
    return {"count": int(match[1]), "model": match[2]}


_COLUMNS = ("happened", "as_recorded", "as_wished")


def _side_by_side(found: JsonObject) -> list[str]:
    columns = [
        Column("PROJECT", least=8),
        Column("FIGURE", least=8),
        *(Column(name, right=True) for name in ("HAPPENED", "REHEARSED", "WISHED")),
    ]
    reports = [found[name] for name in _COLUMNS]
    names = sorted({name for report in reports for name in report["projects"]})
    rows = [row for name in names for row in _project(name, reports)]
    for kind in ("gpu", "cpu"):
        if any(report[kind]["there_milli_us"] for report in reports):
            rows.append(["(all)", f"{kind} in use", *(_share(report[kind]) for report in reports)])
    lines = table(columns, rows, terminal_width())
    assumed, wished = found["assumed"], found["as_wished"]
    lines += ["", f"{_clock(found['from']['at'])} to {_clock(found['to']['at'])}"]
    if wished["unknown_ends"]:
        lines.append(f"{wished['unknown_ends']} jobs ran on at the end: their length is not known")
    refused = sum(wished["refused"].values()) + sum(assumed["left_out"].values())
    if refused:
        lines.append(f"{refused} recorded requests had no place in the rehearsal")
    return lines


def _project(name: str, reports: list[JsonObject]) -> list[list[str]]:
    accounts = [report["projects"].get(name) for report in reports]

    def row(title: str, tell: Any) -> list[str]:
        return [name, title, *("-" if a is None else tell(a) for a in accounts)]

    return [
        row("jobs placed", lambda a: f"{a['placed']} of {a['submitted']} new"),
        row("still waiting", lambda a: str(a["unplaced"])),
        row("mean wait", lambda a: amounts.span(a["wait_us"] // max(1, a["waited"]))),
        row("longest wait", lambda a: amounts.span(a["longest_us"])),
        row("preemptions", lambda a: str(a["preempted"])),
        row("GPU hours", lambda a: f"{a['gpu_milli_us'] / 3.6e12:.2f}"),
        row("cost", lambda a: amounts.money(a["cost_micro"])),
    ]


def _share(part: JsonObject) -> str:
    there = part["there_milli_us"]
    return f"{100 * part['used_milli_us'] / there:.1f} %" if there else "-"


def _clock(text: str) -> str:
    return f"{text[:19]}Z"


def _ask(session: Session, kind: str, body: JsonObject) -> JsonObject:
    """The result of an audit; its progress on stderr. Asked again when the connection breaks."""
    import json

    from compute_platform.errors import Problem
    from compute_platform.transport import BROKEN, Trial

    transport = session.client.transport
    sent = {name: value for name, value in body.items() if value is not None}
    headers = {"Content-Type": "application/json"}
    content = json.dumps(sent).encode()
    trial = Trial(transport, repeatable=True, patience=None)
    while True:
        try:
            with transport.open(
                "POST", f"/audit/{kind}", None, content, headers, QUIET_SECONDS, trial
            ) as response:
                return _result(response)
        except (*BROKEN, Problem) as error:
            trial.again(error)


def _result(response: HTTPResponse) -> JsonObject:
    """The last of the answer's lines; a refusal on the way is one of the whole."""
    import json

    from compute_platform.errors import Unexpected, problem
    from compute_platform.transport import pieces

    whole, shown = b"", 0
    for piece in pieces(response):
        whole += piece
        *lines, _ = whole[shown:].split(b"\n")
        for line in lines:
            shown += len(line) + 1
            if line.startswith(b'{"progress"'):
                found = json.loads(line)
                say(f"at position {found['progress']} of {found['of']}")
    text = whole.strip().rpartition(b"\n")[2]
    try:
        found = json.loads(text)
    except ValueError:
        found = {}
    if "refusal" in found:
        raise problem(422, found["refusal"], "")
    if "result" not in found:
        raise Unexpected("The audit ended without a result: the server's log says why.")
    result: JsonObject = found["result"]
    return result
