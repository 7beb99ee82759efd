"""Dependencies: jobs that have to end before another may start."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Invalid
from domain.values.ids import JobId

MAX_AFTER = 64


class Condition(StrEnum):
    """How a job has to end for another to start after it."""

    OK = "ok"  # it succeeded
    ANY = "any"  # however it ended


@dataclass(frozen=True)
class After:
    """A job of the same project that has to end first, and how."""

    job: JobId
    on: Condition = Condition.OK


@dataclass(frozen=True)
class End:
    """A job that had ended by the time another was submitted to come after it."""

    job: JobId
    succeeded: bool


def check_after(after: tuple[After, ...]) -> None:
    """Refuse too many, and a job named twice."""
    if len(after) > MAX_AFTER:
        raise Invalid("too_large", f"after: at most {MAX_AFTER} jobs", field="after")
    seen = set()
    for number, dependency in enumerate(after):
        if dependency.job in seen:
            field = f"after.{number}.job"
            raise Invalid("duplicate_job", f"{field}: name each job once", field=field)
        seen.add(dependency.job)
