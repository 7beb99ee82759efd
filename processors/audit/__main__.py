"""`python -m processors.audit replay|explain|whatif`: the request as JSON on stdin, lines out.

Each line of the answer is a JSON object: `{"progress": POSITION, "of": POSITION}` now and then,
and at the end `{"result": ...}` or `{"refusal": {"kind", "code", "detail", "field"}}`. The API
runs it as a process of its own: computing a history anew must not keep it from answering.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec

from domain.errors import Conflict, Invalid, Refusal
from infra.codec import UnknownEvent, to_builtins
from infra.settings import Settings
from infra.snapshots import Snapshots
from infra.store import Store
from processors.audit.explain import explain
from processors.audit.moments import Tell, position_of
from processors.audit.replaying import replay
from processors.audit.whatif import Wish, whatif

TELL_SECONDS = 0.5


@dataclass(frozen=True)
class Request:
    """What is asked: moments as positions or times, a job, a wish; each where it has a meaning."""

    begin: str | None = None
    end: str | None = None
    job: str = ""
    wish: Wish = Wish()
    use_kept: bool = False


def run_replay(store: Store, kept: Snapshots, asked: Request, tell: Tell) -> Any:
    """Recompute every decision of a stretch."""
    begin, end = _window(store, asked)
    return replay(store, kept if asked.use_kept else None, begin, end, tell)


def run_explain(store: Store, kept: Snapshots, asked: Request, tell: Tell) -> Any:
    """Say what was decided about a job."""
    until = position_of(store, asked.end, "at", store.head())
    return to_builtins(explain(store, kept, asked.job, until, tell))


def run_whatif(store: Store, kept: Snapshots, asked: Request, tell: Tell) -> Any:
    """Rehearse a stretch otherwise."""
    begin, end = _window(store, asked)
    return whatif(store, kept, begin, end, asked.wish, tell)


KINDS: dict[str, Callable[[Store, Snapshots, Request, Tell], Any]] = {
    "replay": run_replay,
    "explain": run_explain,
    "whatif": run_whatif,
}


def _window(store: Store, asked: Request) -> tuple[int, int]:
    head = store.head()
    begin = position_of(store, asked.begin, "from", 0)
    end = min(head, position_of(store, asked.end, "to", head))
    if begin > end:
        raise Invalid("bad_window", "from: must not be after to, nor after the log", field="from")
    return begin, end


def _say(line: dict[str, Any]) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _teller(head: int) -> Tell:
    last = time.monotonic()  # what is refused soon is refused before a word is said

    def tell(position: int) -> None:
        nonlocal last
        if time.monotonic() - last > TELL_SECONDS:
            last = time.monotonic()
            _say({"progress": position, "of": head})

    return tell


def _refuse(refusal: Refusal) -> int:
    field = refusal.facts.get("field", "")
    facts = {"code": refusal.code, "detail": refusal.detail, "field": field}
    _say({"refusal": {"kind": type(refusal).__name__, **facts}})
    return 1


def main(kind: str) -> int:
    """Answer one request; 1 for a refusal."""
    os.nice(10)  # the platform's own processes come first
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    dsn = Settings().database_url
    try:
        with closing(Store(dsn, pool_size=2)) as store:
            result = KINDS[kind](store, Snapshots(dsn), asked, _teller(store.head()))
    except Refusal as refusal:
        return _refuse(refusal)
    except UnknownEvent as error:
        return _refuse(Conflict("unreadable_event", str(error)))
    _say({"result": result})
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: python -m processors.audit {'|'.join(KINDS)}")
    sys.exit(main(sys.argv[1]))
