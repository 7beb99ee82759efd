"""Refusals, typed by what the caller can do about them.

`api/problems.py` maps each class to one HTTP status; nothing else does.
"""

from __future__ import annotations

type_of_fact = str | int | float | bool | None | list[str] | dict[str, int]


class Refusal(Exception):
    """A command or query that was refused; `code` is stable, `facts` say why."""

    def __init__(self, code: str, detail: str = "", **facts: type_of_fact) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
        self.facts = facts


class Invalid(Refusal):
    """The request itself is wrong: change it (422)."""


class Denied(Refusal):
    """The caller may see the thing but not do this to it: ask for the permission (403)."""


class NotFound(Refusal):
    """There is no such thing, or the caller may not know of it (404)."""


class Conflict(Refusal):
    """The thing's state does not allow it now: read it again, then decide (409)."""


class StaleWriter(Conflict):
    """The writer's epoch, boot or lease is over: stop acting and start again (409)."""


class OverQuota(Refusal):
    """A limit is reached: wait, or ask for more (429)."""


class Unavailable(Refusal):
    """The platform cannot answer now: retry later, nothing was changed (503)."""
