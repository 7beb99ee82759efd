"""The cell as the agent sees it: a port, and the way over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import httpx
import msgspec

from agents.wire import (
    Fact,
    FactResult,
    LogKept,
    Orders,
    Registered,
    Registration,
    Results,
    Sample,
    SeatKey,
    encode,
)

MAX_FACTS = 1000
MAX_LOG_BYTES = 2**20
_T = TypeVar("_T")
_registered = msgspec.json.Decoder(Registered)
_orders = msgspec.json.Decoder(Orders)
_results = msgspec.json.Decoder(Results)
_kept = msgspec.json.Decoder(LogKept)


class CellError(Exception):
    """The cell did not do what was asked; the subclasses say what to do about it."""


class CellAway(CellError):
    """No answer, or none that can be understood: nothing is known, try again later."""


class CellRefused(CellError):
    """A definite no: asking again with the same words will not help."""

    def __init__(self, status: int, code: str, detail: str, facts: dict[str, Any]) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail, self.facts = status, code, detail, facts


class StaleLease(CellRefused):
    """The lease this agent holds is not the cell's: kill every seat and register again."""


class NodeTaken(CellRefused):
    """Another boot holds a live lease for this node name: wait until it ends."""


class LogGap(CellRefused):
    """The cell holds fewer bytes of the log than the offset sent."""

    @property
    def size(self) -> int:
        return int(self.facts.get("size", 0))


class Cell(Protocol):
    """The calls of docs/agent-protocol.md. Each may raise CellAway or CellRefused."""

    def register(self, registration: Registration) -> Registered: ...

    def lease(self, node: str, boot: str, nonce: str, seen: str, wait_ms: int) -> Orders: ...

    def report(self, node: str, boot: str, facts: Sequence[Fact]) -> Sequence[FactResult]: ...

    def send_log(self, node: str, boot: str, key: SeatKey, offset: int, data: bytes) -> LogKept: ...

    def send_samples(self, node: str, boot: str, samples: Sequence[Sample]) -> None: ...


class HttpCell:
    """The cell over HTTP; safe to share between threads."""

    def __init__(self, url: str, token: str, timeout_s: float = 5.0) -> None:
        self._timeout_s = timeout_s
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/api/v1/agent/",
            headers=headers | {"content-type": "application/json"},
            timeout=timeout_s,
        )

    def close(self) -> None:
        self._http.close()

    def register(self, registration: Registration) -> Registered:
        return _decode(self._post("register", encode(registration)), _registered)

    def lease(self, node: str, boot: str, nonce: str, seen: str, wait_ms: int) -> Orders:
        body = {"node": node, "boot": boot, "nonce": nonce, "seen": seen, "wait_ms": wait_ms}
        answer = self._post("lease", encode(body), timeout=self._timeout_s + wait_ms / 1000)
        return _decode(answer, _orders)

    def report(self, node: str, boot: str, facts: Sequence[Fact]) -> Sequence[FactResult]:
        body = encode({"node": node, "boot": boot, "facts": facts})
        results = _decode(self._post("report", body), _results).results
        if len(results) != len(facts):
            raise CellAway(f"{len(facts)} facts were sent, {len(results)} results came back")
        return results

    def send_log(self, node: str, boot: str, key: SeatKey, offset: int, data: bytes) -> LogKept:
        params: dict[str, str | int] = {
            "node": node,
            "boot": boot,
            "allocation": key.allocation,
            "rank": key.rank,
            "offset": offset,
        }
        headers = {"content-type": "application/octet-stream"}
        return _decode(self._post("logs", data, params=params, headers=headers), _kept)

    def send_samples(self, node: str, boot: str, samples: Sequence[Sample]) -> None:
        self._post("samples", encode({"node": node, "boot": boot, "samples": samples}))

    def _post(self, path: str, content: bytes, **options: Any) -> httpx.Response:
        try:
            answer = self._http.post(path, content=content, **options)
        except httpx.HTTPError as error:
            raise CellAway(f"{path}: {type(error).__name__}: {error}") from error
        if answer.is_success:
            return answer
        if answer.status_code >= 500 or answer.status_code in (408, 425, 429):
            raise CellAway(f"{path}: the cell answered {answer.status_code}")
        raise _refusal(answer)


def _decode(answer: httpx.Response, decoder: msgspec.json.Decoder[_T]) -> _T:
    try:
        return decoder.decode(answer.content)
    except msgspec.DecodeError as error:
        raise CellAway(f"{answer.request.url.path}: not an answer of a cell: {error}") from error


def _refusal(answer: httpx.Response) -> CellRefused:
    """The typed refusal of a problem document (RFC 9457), or of whatever came instead."""
    try:
        body = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        body = None
    facts: dict[str, Any] = body if isinstance(body, dict) else {}
    code, detail = str(facts.get("code", "")), str(facts.get("detail", answer.reason_phrase))
    kinds = {"stale_lease": StaleLease, "node_taken": NodeTaken, "log_gap": LogGap}
    return kinds.get(code, CellRefused)(answer.status_code, code, detail, facts)
