"""Dependencies of a submission: looked up in the log, refused by field."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictStr

from domain.errors import Invalid
from domain.job import job as jobs
from domain.job.after import MAX_AFTER, After, Condition, End
from domain.job.job import Job
from domain.job.spec import JobSpec
from domain.job.transitions import ENDED, Phase
from domain.values.ids import JobId
from infra.store import Log, stream_of


class AfterBody(BaseModel):
    """A job of the same project that has to end first."""

    model_config = ConfigDict(extra="forbid")
    job: Annotated[StrictStr, Field(max_length=63, pattern=r"^[a-z0-9-]+$")]
    on: Condition = Field(Condition.OK, description="ok: it has to succeed; any: only to end")

    def value(self) -> After:
        return After(JobId(self.job), self.on)


AfterList = Annotated[list[AfterBody], Field(max_length=MAX_AFTER)]


def ends_of(log: Log, spec: JobSpec) -> tuple[End, ...]:
    """Those of the jobs that the spec comes after which have ended.

    Invalid if one is not known in the project: only jobs that exist can be named, so no jobs wait
    for each other in a circle.
    """
    found = []
    for number, dependency in enumerate(spec.after):
        job: Job | None = None
        job, _ = log.load(stream_of("job", dependency.job), jobs.evolve, job)
        if job is None or job.spec.project != spec.project:
            field = f"after.{number}.job"
            detail = f"{field}: project {spec.project} has no job {dependency.job}"
            raise Invalid("unknown_job", detail, field=field)
        if job.phase in ENDED:
            found.append(End(job.id, job.phase is Phase.SUCCEEDED))
    return tuple(found)
