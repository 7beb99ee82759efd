"""The Python client: what the command `compute` can do, as methods."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from compute_platform import transport
from compute_platform.errors import Misused, StillWaiting
from compute_platform.exits import ENDED
from compute_platform.transport import segment

if TYPE_CHECKING:
    from datetime import datetime

    from compute_platform.shapes import Job, JsonObject, Node, Outlook, Page, Pool, Queue, Why
    from compute_platform.transport import Query

LIVE = (
    "queued",
    "held",
    "blocked",
    "starting",
    "running",
    "preempting",
    "stopping",
    "suspended",
)
PAGE = 100
"""The most items to ask for in one page."""
WHOLE_QUEUE = 10_000
"""The most of the queue that one answer shows."""
WAIT_PATIENCE = 300.0
"""Seconds for which waiting survives a server that is away; a wait may last for days."""


class Client:
    """One server of Compute Platform. Safe to share between threads.

    Reads ask for at least what this client wrote before. Reads and writes are tried again when
    the connection breaks; each write carries an idempotency key, so it is done once. `tell`
    hears why something is tried again. With `as_of` (a log position, an RFC 3339 time, or `-10m`)
    reads show what was so then, all of them of the one moment that the first answer stood for; and
    nothing can be written. Methods raise `ClientError`s (compute_platform.errors).
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        patience: float = transport.PATIENCE_SECONDS,
        tell: Callable[[str], None] | None = None,
        as_of: str | None = None,
    ) -> None:
        self.transport = transport.Transport(url, token, patience, tell)
        self._position = 0
        self._as_of = as_of

    @classmethod
    def from_environment(cls) -> Client:
        """The server and token that COMPUTE_URL and COMPUTE_TOKEN name."""
        return cls(*credentials(None, None))

    @property
    def now(self) -> datetime:
        """The server's clock, as of its last answer."""
        return self.transport.now

    # Jobs

    def submit(self, spec: JsonObject, key: str | None = None) -> Job:
        """A new job of this spec; the same `key` with the same spec is the same job."""
        return cast("Job", self.write("POST", "/jobs", spec, key))

    def submit_all(self, specs: Sequence[JsonObject], key: str | None = None) -> list[Job]:
        """New jobs, all or none."""
        answer = self.write("POST", "/jobs:batch", {"jobs": list(specs)}, key)
        return cast("list[Job]", answer.get("items", answer.get("jobs", [])))

    def jobs(
        self,
        *,
        phases: Sequence[str] = (),
        project: str | None = None,
        user: str | None = None,
        name: str | None = None,
        limit: int | None = None,
    ) -> Page:
        """Jobs, newest first: all of them, or `limit` and the cursor for more."""
        query: Query = {"phase": list(phases), "project_id": project, "user": user, "name": name}
        return self.pages("/jobs", query, limit)

    def job(self, job: str) -> Job:
        """The job with this full id."""
        return cast("Job", self.read(f"/jobs/{segment(job)}"))

    def why(self, job: str) -> Why:
        """Why the job stands where it does, and its history."""
        return cast("Why", self.read(f"/jobs/{segment(job)}/why"))

    def dry_run(self, spec: JsonObject) -> Outlook:
        """What submitting this spec now (or then, with `as_of`) would lead to; nothing is recorded."""
        return cast("Outlook", self.read("/jobs:dry-run", method="POST", body=spec))

    def outlook(self, job: str) -> Outlook:
        """How a waiting job stands: who is ahead, when it may start, what would start it."""
        path = f"/jobs/{segment(job)}/outlook"
        return cast("Outlook", self.read(path, method="POST", body={}))

    def job_cost(self, job: str) -> JsonObject:
        """What the job cost so far."""
        return self.read(f"/jobs/{segment(job)}/cost")

    def checkpoints(self, job: str) -> Page:
        """The job's checkpoints."""
        return self.pages(f"/jobs/{segment(job)}/checkpoints", {}, None)

    def logs(
        self, job: str, *, follow: bool = False, offset: int = 0, rank: int = 0
    ) -> Iterator[bytes]:
        """One rank's log from byte `offset` on, each byte once, across broken connections.

        With `follow` until the job has ended, else what is there now.
        """
        from compute_platform import follow as streams

        def ended() -> bool:
            return self.job(job)["phase"] in ENDED

        path = f"/jobs/{segment(job)}/logs"
        query: Query = {"rank": rank, "min_position": self._position or None}
        return streams.log(self.transport, path, query, offset, ended if follow else None)

    def wait(
        self,
        job: str,
        until: Callable[[Job], bool] | None = None,
        *,
        timeout: float | None = None,
        seen: Callable[[Job], None] | None = None,
    ) -> Job:
        """The job once it ended, or `until` holds; `seen` is called with each state on the way.

        StillWaiting after `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = 0.1
        while True:
            found = self.read(f"/jobs/{segment(job)}", patience=WAIT_PATIENCE)
            state = cast("Job", found)
            if seen is not None:
                seen(state)
            if state["phase"] in ENDED or (until is not None and until(state)):
                return state
            if deadline is not None and time.monotonic() + pause > deadline:
                raise StillWaiting(
                    f"Job {job} is {state['phase']} after {timeout:g} s.", "It goes on by itself."
                )
            time.sleep(pause)
            pause = min(2.0, pause * 1.5)

    def control(self, job: str, command: str, body: JsonObject | None = None) -> JsonObject:
        """Tell a job to `cancel`, `suspend`, `resume` or `requeue`."""
        return self.write("POST", f"/jobs/{segment(job)}/{command}", body or {})

    def cancel(self, job: str) -> JsonObject:
        """Stop the job for good."""
        return self.control(job, "cancel")

    def migrate(self, job: str, to: str | None = None) -> JsonObject:
        """Have a running job move to a node, or away from its own, once there is room."""
        return self.control(job, "migrate", {"to": to})

    def stay(self, job: str) -> JsonObject:
        """Take a move back that still waits for room."""
        return self.write("DELETE", f"/jobs/{segment(job)}/migrate")

    def set_priority(self, job: str, priority: int) -> JsonObject:
        """Change the job's priority."""
        return self.write("PATCH", f"/jobs/{segment(job)}", {"priority": priority})

    # The cluster

    def queue(self, project: str | None = None, limit: int | None = None) -> Queue:
        """The queue in order, and how many wait for each reason."""
        query: Query = {"project_id": project, "limit": min(limit or WHOLE_QUEUE, WHOLE_QUEUE)}
        return cast("Queue", self.read("/queue", query))

    def pools(self) -> list[Pool]:
        """Nodes by kind, with what is free."""
        return cast("list[Pool]", self.pages("/resources/pools", {}, None)["items"])

    def nodes(self) -> list[Node]:
        """Every node."""
        return cast("list[Node]", self.pages("/nodes", {}, None)["items"])

    def node(self, node: str) -> Node:
        """One node."""
        return cast("Node", self.read(f"/nodes/{segment(node)}"))

    def events(self, after: int = 0, limit: int | None = None) -> Page:
        """Recorded events after a log position."""
        return self.pages("/events", {"after": after}, limit, by="after")

    def follow_events(self, after: int = 0) -> Iterator[JsonObject]:
        """Recorded events after a log position, on and on, each once."""
        from compute_platform import follow as streams

        return streams.events(self.transport, "/events", after)

    # Anything

    def read(
        self,
        path: str,
        query: Query | None = None,
        patience: float | None = None,
        *,
        method: str = "GET",
        body: object = None,
    ) -> dict[str, Any]:
        """The JSON a GET of `path` (below /api/v1) answers, or a POST that changes nothing."""
        seen = {"min_position": self._position or None, "as_of": self._as_of}
        key = None if method == "GET" else str(uuid4())  # so that it may be sent again
        answer = self.transport.call(method, path, {**(query or {}), **seen}, body, key, patience)
        if self._as_of is not None and not self._as_of.isdecimal():
            self._as_of = self.transport.moment or self._as_of
        return answer

    def write(
        self, method: str, path: str, body: object = None, key: str | None = None
    ) -> dict[str, Any]:
        """The JSON a write answers; done once however often it has to be sent.

        The empty `key` sends it without one, and only once.
        """
        if self._as_of is not None:
            raise Misused("The past cannot be changed: leave --at (as_of) out.")
        chosen = str(uuid4()) if key is None else key or None
        answer = self.transport.call(method, path, body=body, key=chosen)
        position = answer.get("position")
        if isinstance(position, int):
            self._position = max(self._position, position)
        return answer

    def pages(self, path: str, query: Query, limit: int | None, by: str = "cursor") -> Page:
        """A list with its pages put together, `limit` items of it at the most.

        `by` is the parameter that asks for the next page.
        """
        items: list[JsonObject] = []
        more: Query = {}
        while True:
            size = None if limit is None else min(PAGE, limit - len(items))
            page = self.read(path, {**query, "limit": size, **more})
            items.extend(page.get("items", ()))
            cursor = page.get("next_cursor")
            more = {by: cursor}
            if cursor is None or (limit is not None and len(items) >= limit):
                return cast("Page", {**page, "items": items, "next_cursor": cursor})


def credentials(url: str | None, token_file: str | None) -> tuple[str, str]:
    """Address and token as given, else from COMPUTE_URL and COMPUTE_TOKEN. Misused if missing."""
    url = url or os.environ.get("COMPUTE_URL")
    if not url:
        raise Misused(
            "COMPUTE_URL is not set, so there is no server to ask.",
            "`compute up` starts one here and prints the lines to export; or pass --url.",
        )
    if token_file:
        try:
            token = Path(token_file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Misused(f"The token file cannot be read: {error}") from None
    else:
        token = os.environ.get("COMPUTE_TOKEN", "")
    if not token.strip():
        raise Misused(
            "COMPUTE_TOKEN is not set, so the server cannot know you.",
            "`compute up` prints one for its server; elsewhere an administrator makes one with"
            " `compute token create`. Pass it in COMPUTE_TOKEN or with --token-file.",
        )
    return url, token.strip()
