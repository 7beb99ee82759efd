"""Which job people mean: a full id, the start or end of one, or a name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from compute_platform.errors import Ambiguous, Misused, NoSuchJob

if TYPE_CHECKING:
    from compute_platform.client import Client
    from compute_platform.shapes import Job

SHORT = 8
"""Characters of an id's end that tables print: 40 random bits."""
LOOKED_AT = 2000
"""How many jobs, newest first, are searched for part of an id."""
LONGEST_NAME = 63
_FULL = re.compile(r"job-[0-9a-z]{26}")
_PART = re.compile(r"(job-)?[0-9a-z]+")


def short(job_id: str) -> str:
    """The end of an id, as tables print it and commands accept it."""
    return job_id[-SHORT:]


def job_id(client: Client, text: str) -> str:
    """The full id of the one job `text` means. NoSuchJob, or Ambiguous with the candidates."""
    if _FULL.fullmatch(text):
        return text
    if not text.strip():
        raise Misused("An empty text names no job.")
    found: dict[str, Job] = {}
    for job in _named(client, text):
        found[job["id"]] = job
    if _PART.fullmatch(text):
        for job in _with_part(client, text):
            found[job["id"]] = job
    if len(found) == 1:
        return next(iter(found))
    if found:
        some = list(found.values())[:10]
        more = [f"and {len(found) - len(some)} more"] if len(found) > len(some) else []
        raise Ambiguous(f"{text!r} may be any of {len(found)} jobs:", [*map(_line, some), *more])
    raise NoSuchJob(
        f"No job has the name {text!r}, or an id that starts or ends so"
        f" (of the {LOOKED_AT} newest you may see).",
        "`compute ps -a` lists jobs; a full id is looked up however old it is.",
    )


def _named(client: Client, text: str) -> list[Job]:
    if len(text) > LONGEST_NAME:
        return []
    page = client.jobs(name=text, limit=100)
    return [job for job in cast("list[Job]", page["items"]) if job["name"] == text]


def _with_part(client: Client, text: str) -> Iterator[Job]:
    whole = text if text.startswith("job-") else f"job-{text}"
    for job in cast("list[Job]", client.jobs(limit=LOOKED_AT)["items"]):
        if job["id"].startswith(whole) or job["id"].endswith(text):
            yield job


def _line(job: Job) -> str:
    return f"{job['id']}  {job['name']}  {job['phase']}  submitted {job['submitted_at']}"
