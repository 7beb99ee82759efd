"""`python -m processors.audit KIND`: the request as JSON on stdin, lines out.

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
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from domain.errors import Invalid, Refusal, Unavailable
from domain.job.spec import JobSpec
from infra.codec import UnknownEvent, to_builtins
from infra.collector import unhindered
from infra.settings import Settings
from infra.snapshots import Snapshots
from infra.store import Store
from processors.audit.explain import explain
from processors.audit.foresight import Submission, foresee, submit_dry
from processors.audit.moments import Tell, position_of
from processors.audit.replaying import replay
from processors.audit.whatif import Wish, whatif
from processors.projector import connect

TELL_SECONDS = 0.5


@dataclass(frozen=True)
class Request:
    """What is asked: moments as positions or times, a job, a wish; each where it has a meaning.

    `spec` is a job that `user` might submit. `now` is the time to plan at: that of the store unless
    it is said.

    `first` and `last` are the positions that the moments turn out to mean.
    """

    begin: str | None = None
    end: str | None = None
    job: str = ""
    spec: JobSpec | None = None
    user: str = ""
    wish: Wish = Wish()
    use_kept: bool = False
    now: int | None = None
    first: int = 0
    last: int = 0


def run_replay(store: Store, kept: Snapshots, asked: Request, tell: Tell) -> Any:
    """Recompute every decision of a stretch."""
    return replay(store, kept if asked.use_kept else None, asked.first, asked.last, tell)


def run_explain(store: Store, kept: Snapshots, asked: Request, tell: Tell) -> Any:
    """Say what was decided about a job."""
    return to_builtins(explain(store, kept, asked.job, asked.last, tell))


def run_whatif(store: Store, kept: Snapshots, asked: Request, tell: Tell) -> Any:
    """Rehearse a stretch otherwise."""
    return whatif(store, kept, asked.first, asked.last, asked.wish, tell)


def run_outlook(store: Store, kept: Snapshots, asked: Request, tell: Tell) -> Any:
    """Say how a waiting job stands, and what would let it start."""
    return to_builtins(foresee(store, kept, asked.job, asked.last, asked.now, tell))


def run_dryrun(store: Store, kept: Snapshots, asked: Request, tell: Tell) -> Any:
    """Say what a submission would lead to."""
    assert asked.spec is not None, "the API sends one"
    submission = Submission(asked.spec, asked.user)
    return to_builtins(submit_dry(store, kept, submission, asked.last, asked.now, tell))


KINDS: dict[str, Callable[[Store, Snapshots, Request, Tell], Any]] = {
    "replay": run_replay,
    "explain": run_explain,
    "whatif": run_whatif,
    "outlook": run_outlook,
    "dryrun": run_dryrun,
}


def _settled(dsn: str, head: int, asked: Request) -> Request:
    """The request with the positions that its moments mean."""
    with connect(dsn) as connection:
        first = position_of(connection, asked.begin, "from", 0)
        last = min(head, position_of(connection, asked.end, "at" if asked.job else "to", head))
    if first > last:
        raise Invalid("bad_window", "from: must not be after to, nor after the log", field="from")
    return replace(asked, first=first, last=last)


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
        with unhindered(), closing(Store(dsn, pool_size=2)) as store:
            asked = _settled(dsn, store.head(), asked)
            result = KINDS[kind](store, Snapshots(dsn), asked, _teller(asked.last))
    except Refusal as refusal:
        return _refuse(refusal)
    except UnknownEvent as error:
        return _refuse(Unavailable("unreadable_event", str(error)))
    _say({"result": result})
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in KINDS:
        sys.exit(f"usage: python -m processors.audit {'|'.join(KINDS)}")
    sys.exit(main(sys.argv[1]))
