"""Staying with a job: progress on stderr, output as it comes, the exit code at the end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from compute_platform import amounts, exits
from compute_platform.errors import ClientError
from compute_platform.exits import ENDED
from compute_platform.session import say, write, write_json

if TYPE_CHECKING:
    from compute_platform.client import Client
    from compute_platform.session import Session
    from compute_platform.shapes import Job


class Progress:
    """Says each change of a job's phase, place or reason once, on stderr."""

    def __init__(self) -> None:
        self._said = ""
        self._lock = threading.Lock()

    def seen(self, job: Job) -> None:
        """Look at the job's present state."""
        text = state(job)
        with self._lock:
            if text != self._said:
                self._said = text
                say(text)


def until_end(session: Session, job_id: str, as_json: bool) -> int:
    """Stay until the job has ended and its output is out; its exit code."""
    client, progress = session.client, Progress()
    watcher = threading.Thread(target=_watch, args=(client, job_id, progress), daemon=True)
    watcher.start()
    try:
        for data in client.logs(job_id, follow=True):
            write(data, err=as_json)
        watcher.join()
        job = client.wait(job_id)
    except KeyboardInterrupt:
        say(f"the job goes on: `compute logs -f {job_id}`, `compute cancel {job_id}`")
        return exits.INTERRUPTED
    except ClientError:
        say(f"lost sight of the job, which goes on: `compute wait {job_id}`")
        raise
    progress.seen(job)
    if as_json:
        write_json(job)
    return exits.of_job(job)


def _watch(client: Client, job_id: str, progress: Progress) -> None:
    try:
        client.wait(job_id, seen=progress.seen)
    except ClientError:
        return  # the log or the last look at the job meets the same trouble, and reports it


def state(job: Job) -> str:
    """Where the job stands, in one line."""
    phase, nodes = job["phase"], ", ".join((job.get("nodes") or [])[:4])
    if phase == "queued":
        reason, place = job.get("reason"), job.get("queue_position")
        first = "queued" if place is None else f"queued, position {place}"
        return f"{first}: {reason['text']}" if reason else first
    if phase == "preempting" and job.get("preemptor"):
        return f"preempting for {job['preemptor']}"
    moves = job.get("migration")
    if phase == "preempting" and moves:
        return f"moving to {', '.join(moves['found'][:4])}"
    if phase in ("starting", "running") and nodes:
        return f"{phase} on {nodes}"
    if phase not in ENDED:
        return phase
    lasted = amounts.since(job.get("started_at"), amounts.instant(job.get("ended_at")))
    code, detail = job.get("exit_code"), job.get("detail")
    text = phase.replace("_", " ")
    if phase == "failed":
        text += f" with exit code {code}" if code is not None else f" ({job.get('outcome')})"
    text += f" after {lasted}" if lasted else ""
    return f"{text}: {detail}" if detail else text
