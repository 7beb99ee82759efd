"""What can go wrong between the client and the server, typed by what the caller can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compute_platform import exits


class ClientError(Exception):
    """`what` happened in one sentence, and `advice` on what to do about it."""

    exit_code = exits.UNEXPECTED

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice

    def lines(self) -> list[str]:
        """The error as people read it: what, why, what to do."""
        return [self.what, *([f"  {self.advice}"] if self.advice else [])]


class Misused(ClientError):
    """The client was called with something that cannot be meant."""

    exit_code = exits.USAGE


class NoSuchJob(ClientError):
    """No job is known by the text that was given."""

    exit_code = exits.NOT_FOUND


class Ambiguous(ClientError):
    """More than one job is known by the text; `candidates` are their lines."""

    exit_code = exits.USAGE

    def __init__(self, what: str, candidates: Sequence[str]) -> None:
        super().__init__(what, "Give more of the id, at its start or its end.")
        self.candidates = list(candidates)

    def lines(self) -> list[str]:
        return [self.what, *(f"  {line}" for line in self.candidates), f"  {self.advice}"]


class Unreachable(ClientError):
    """No answer came from the server, also after trying again."""

    exit_code = exits.UNAVAILABLE


class Unexpected(ClientError):
    """An answer came that no server of this API gives."""


class StillWaiting(ClientError):
    """The time to wait is over and the job is not there yet."""

    exit_code = exits.STILL_WAITING


class Problem(ClientError):
    """An answer of the server that says no: problem details (RFC 9457) with `status` and `code`.

    `errors` are its field errors, `facts` all members of the document.
    """

    def __init__(self, status: int, facts: dict[str, Any], request_id: str = "") -> None:
        self.status = status
        self.facts = facts
        self.code = str(facts.get("code") or "")
        self.request_id = str(facts.get("request_id") or request_id)
        errors = facts.get("errors") or []
        self.errors = [error for error in errors if isinstance(error, dict)]
        text = facts.get("detail") or facts.get("title") or "the server gave no reason"
        super().__init__(str(text), str(facts.get("advice") or self._advice()))

    def lines(self) -> list[str]:
        label = f"{self.status} {self.code}".strip()
        what = "The server refused the request" if self.errors else self.what
        return [
            f"{what} ({label})",
            *(f"  {_field_line(error)}" for error in self.errors),
            *([f"  {self.advice}"] if self.advice else []),
            *([f"  request id: {self.request_id}"] if self.request_id else []),
        ]

    def _advice(self) -> str:
        return _ADVICE.get(self.status, "")


class Refused(Problem):
    """The server understood and said no (4xx)."""

    exit_code = exits.REFUSED


class NotFound(Problem):
    """There is no such thing, or the token may not see it (404)."""

    exit_code = exits.NOT_FOUND


class Unauthorised(Problem):
    """The token is missing, wrong or not allowed to do this (401, 403)."""

    exit_code = exits.UNAUTHORISED


class Unavailable(Problem):
    """The server cannot answer now, also after trying again (502, 503, 504)."""

    exit_code = exits.UNAVAILABLE


_KINDS: dict[int, type[Problem]] = {
    401: Unauthorised,
    403: Unauthorised,
    404: NotFound,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
_ADVICE = {
    401: "Set COMPUTE_TOKEN to a valid token, or pass --token-file; an administrator makes one"
    " with `compute token create`.",
    403: "Ask a project owner or administrator for the permission; `compute whoami` shows yours.",
    404: "Check the spelling; what your token may not see is also answered this way.",
    409: "Look at it again before you decide: `compute job JOB` shows how things stand.",
    413: "Send less at once.",
    422: "Change the request as said, then send it again.",
    429: "Wait until something ends, or ask for a larger limit: `compute projects show PROJECT`.",
    500: "This is the server's fault: report it with the request id.",
    503: "Nothing was changed; try again later.",
}


def problem(status: int, facts: dict[str, Any], request_id: str = "") -> Problem:
    """The typed error for an answer of 400 and above."""
    kind = _KINDS.get(status, Refused if status < 500 else Problem)
    return kind(status, facts, request_id)


def _field_line(error: dict[str, Any]) -> str:
    field, detail = str(error.get("field") or ""), str(error.get("detail") or "")
    line = detail if detail.startswith(field) else f"{field}: {detail}"
    nearest = error.get("nearest")
    return f"{line}; did you mean `{nearest}`?" if nearest and str(nearest) not in detail else line
