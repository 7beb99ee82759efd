"""What the server foresees of a job, as people read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute_platform import amounts, exits
from compute_platform.table import Column, table, terminal_width

if TYPE_CHECKING:
    from compute_platform.shapes import Outlook

EXIT_CODES = {
    "starts_now": exits.FINE,
    "would_wait": exits.WOULD_WAIT,
    "can_never_run": exits.CAN_NEVER_RUN,
}
_DEADLINES = {
    "met": "It would end by its deadline.",
    "at_risk": "It may miss its deadline: only an early start is early enough.",
    "missed": "It would miss its deadline.",
    "unknown": "Whether it meets its deadline cannot be foreseen.",
}


def dry_run(found: Outlook) -> list[str]:
    """What a submission would lead to."""
    if found["forecast"] == "can_never_run":
        reason = found.get("reason")
        field, fix = found.get("field") or "", found.get("fix") or ""
        lines = [f"It can never run here. {reason['text'] if reason else ''}".rstrip()]
        return [*lines, f"To change: {fix if fix.startswith(field) else f'{field}: {fix}'}"]
    if found["forecast"] == "starts_now":
        lines = [f"It would start now on {', '.join(sorted(set(found['nodes'])))}."]
        return [*lines, *_deadline(found)]
    if found.get("nodes"):
        return ["It would be held until `compute resume`, and could start now."]
    reason = found.get("reason")
    place = f"place {found['queue_position']} of {found['queued']} in the queue"
    text = reason["text"] if reason else "The scheduler would not have looked at it yet."
    return [f"It would wait, {place}. {text}", *outlook(found)]


def outlook(found: Outlook) -> list[str]:
    """When it may start, who is ahead, and what would let it start now."""
    if found.get("nodes"):
        return [f"It starts in the next cycle, on {', '.join(sorted(set(found['nodes'])))}."]
    lines = [_start(found), *_deadline(found), *_ahead(found)]
    changes = found.get("changes") or []
    if changes:
        title = "It would start now with any one of these, each planned with:"
        lines += ["", title, *(f"  {change['text']}" for change in changes)]
    elif found.get("complete", True):
        lines.append("No single change that was tried would let it start now.")
    if not found.get("complete", True):
        lines.append("Not every change could be tried in time.")
    return lines


def _start(found: Outlook) -> str:
    asked = found.get("asks") or 0
    room = f" {asked} jobs would be asked to make room." if asked else ""
    earliest, latest = found.get("earliest_start"), found.get("latest_start")
    if earliest is None:
        return f"When it may start cannot be foreseen.{room}"
    if latest is None:
        return (
            f"May start: {amounts.clock(earliest)} if jobs end as estimated; how long others"
            f" may take has no limit.{room}"
        )
    if earliest == latest:
        return f"May start: {amounts.clock(earliest)}.{room}"
    return f"May start: from {amounts.clock(earliest)} to {amounts.clock(latest)}.{room}"


def _deadline(found: Outlook) -> list[str]:
    known = _DEADLINES.get(found.get("deadline") or "")
    return [known] if known else []


def _ahead(found: Outlook) -> list[str]:
    total, ahead = found.get("ahead_total") or 0, found.get("ahead") or []
    if not total:
        return ["Nobody is ahead of it."]
    rows = [[item["id"][-8:], item["name"], str(item["priority"])] for item in ahead]
    columns = [Column("ID"), Column("NAME", least=8), Column("PRI", right=True)]
    title = f"Ahead: {total}" + (f", the first {len(rows)}:" if total > len(rows) else "")
    return ["", title, *(table(columns, rows, terminal_width()) if rows else [])]
