"""Request bodies: strict, bounded, and nearest-name help for what is unknown."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
)

from api.after import AfterList
from api.when import When
from api.where import WhereBody
from domain.errors import Invalid
from domain.job.spec import MAX_REPLICAS, Checkpointing, JobSpec, Retry
from domain.values.ids import ProjectId, check_name
from domain.values.mig import check_profile, milli_of
from domain.values.priority import MAX_PRIORITY
from domain.values.quantity import LARGEST, gibibytes, milli, size
from domain.values.resources import Resources
from domain.values.time import YEAR_SECONDS, from_datetime

Number = Annotated[StrictInt | StrictFloat, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Quantity = Number | Annotated[str, Field(max_length=40)]
Name = Annotated[StrictStr, Field(min_length=1, max_length=63, description="a-z 0-9 . _ -")]
Text = Annotated[StrictStr, Field(max_length=32_768)]
Seconds = Annotated[StrictInt, Field(ge=0, le=YEAR_SECONDS)]
_WORDS = 4096
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError("name variables with letters, digits and _, no digit first")
    return name


def _micro(at: datetime) -> int:
    if at.tzinfo is None:
        raise Invalid("no_time_zone", "deadline: add a time zone, such as Z", field="deadline")
    return from_datetime(at)


class Body(BaseModel):
    """Base of request bodies: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class ResourcesBody(Body):
    """What one seat asks for."""

    cpu: Quantity = Field(1, description="CPUs: a number or a quantity such as '500m'")
    memory_gb: Number | None = Field(None, description="memory as a number of GiB")
    memory: Quantity | None = Field(None, description="memory as a quantity such as '32Gi'")
    gpu: Annotated[
        StrictInt | StrictFloat,
        Field(ge=0, le=1024, description="whole GPUs, or a share of one such as 0.25"),
    ] = 0
    mig: Annotated[StrictStr, Field(max_length=32)] | None = Field(
        None, description="a MIG instance instead of gpu, by its profile, such as '1g.10gb'"
    )
    gpu_type: Name | Annotated[list[Name], Field(min_length=1, max_length=32)] | None = Field(
        None, description="one model or a list of acceptable ones, such as 'A100'"
    )
    storage: Quantity = Field(0, description="local storage in bytes or as a quantity: '100Gi'")
    network_mbps: Annotated[StrictInt, Field(ge=0, le=10**9)] = 0

    def value(self) -> Resources:
        """The resources as integers."""
        if self.memory is not None and self.memory_gb is not None:
            raise Invalid(
                "memory_twice", "give memory_gb or memory, not both", field="resources.memory"
            )
        memory = size("resources.memory", self.memory) if self.memory is not None else 0
        if self.memory_gb is not None:
            memory = gibibytes("resources.memory_gb", self.memory_gb)
        return Resources(
            milli("resources.cpu", self.cpu),
            memory,
            self._gpu_milli(),
            size("resources.storage", self.storage),
            self.network_mbps,
        )

    def _gpu_milli(self) -> int:
        if self.mig is None:
            return milli("resources.gpu", self.gpu)
        if self.gpu:
            raise Invalid("mig_and_gpu", "give gpu or mig, not both", field="resources.mig")
        return milli_of(check_profile("resources.mig", self.mig))

    def models(self) -> tuple[str, ...]:
        """Acceptable GPU models, in upper case."""
        if self.gpu_type is None:
            return ()
        names = [self.gpu_type] if isinstance(self.gpu_type, str) else self.gpu_type
        return tuple(dict.fromkeys(name.upper() for name in names))


class CheckpointingBody(Body):
    """Whether and how often the job is asked to save."""

    enable_checkpointing: StrictBool = False
    checkpoint_interval_seconds: Annotated[StrictInt, Field(ge=1, le=YEAR_SECONDS)] = 3600


class RetryBody(Body):
    """What happens when the job fails."""

    max_retries: Annotated[StrictInt, Field(ge=0, le=100)] = 0
    backoff_seconds: Annotated[StrictInt, Field(ge=0, le=86_400)] = 10
    max_backoff_seconds: Annotated[StrictInt, Field(ge=0, le=86_400)] = 600


class JobBody(Body):
    """A job to submit."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "training-job",
                    "project_id": "ml-research",
                    "docker_image": "pytorch:latest",
                    "command": ["python", "train.py"],
                    "resources": {"cpu": 8, "memory_gb": 32, "gpu": 2, "gpu_type": "A100"},
                    "checkpointing": {
                        "enable_checkpointing": True,
                        "checkpoint_interval_seconds": 3600,
                    },
                }
            ]
        },
    )

    name: Name
    project_id: Name
    command: Annotated[list[Text], Field(min_length=1, max_length=_WORDS)]
    docker_image: Annotated[StrictStr, Field(min_length=1, max_length=512)] | None = None
    resources: ResourcesBody = ResourcesBody()
    checkpointing: CheckpointingBody = CheckpointingBody()
    replicas: Annotated[StrictInt, Field(ge=1, le=MAX_REPLICAS)] = 1
    priority: Annotated[StrictInt, Field(ge=0, le=MAX_PRIORITY)] = 0
    env: dict[Annotated[StrictStr, Field(max_length=256), AfterValidator(_variable)], Text] = {}
    labels: dict[Name, Annotated[StrictStr, Field(max_length=256)]] = {}
    retry: RetryBody = RetryBody()
    time_limit_seconds: Annotated[StrictInt, Field(ge=1, le=YEAR_SECONDS)] | None = None
    grace_seconds: Annotated[StrictInt, Field(ge=0, le=86_400)] | None = None
    hold: StrictBool = False
    where: WhereBody = WhereBody()
    estimate_seconds: Annotated[StrictInt, Field(ge=1, le=YEAR_SECONDS)] | None = None
    deadline: When | None = Field(None, description="RFC 3339: when it should have ended")
    min_replicas: Annotated[StrictInt, Field(ge=1, le=MAX_REPLICAS)] | None = None
    preemptible: StrictBool = True
    accept_when_absent: StrictBool = Field(
        False, description="accept it even if no node known or expected could ever run it"
    )
    after: AfterList = []

    def spec(self) -> JobSpec:
        """The job as the domain knows it; Invalid names the field that is wrong."""
        return JobSpec(
            name=check_name("name", self.name),
            project=ProjectId(check_name("project_id", self.project_id)),
            command=tuple(self.command),
            image=self.docker_image,
            resources=self.resources.value(),
            gpu_types=self.resources.models(),
            replicas=self.replicas,
            priority=self.priority,
            env=tuple(sorted(self.env.items())),
            checkpointing=Checkpointing(
                self.checkpointing.enable_checkpointing,
                self.checkpointing.checkpoint_interval_seconds,
            ),
            retry=Retry(
                self.retry.max_retries, self.retry.backoff_seconds, self.retry.max_backoff_seconds
            ),
            time_limit_seconds=self.time_limit_seconds,
            grace_seconds=self.grace_seconds,
            hold=self.hold,
            labels=tuple(sorted(self.labels.items())),
            where=self.where.value(),
            estimate_seconds=self.estimate_seconds,
            deadline=None if self.deadline is None else _micro(self.deadline),
            min_replicas=self.min_replicas,
            preemptible=self.preemptible,
            accept_when_absent=self.accept_when_absent,
            after=tuple(after.value() for after in self.after),
            mig=self.resources.mig or "",
        )


class BatchBody(Body):
    """Jobs to submit all or none."""

    jobs: Annotated[list[JobBody], Field(min_length=1, max_length=1000)]


class PriorityBody(Body):
    """A change of a job."""

    priority: Annotated[StrictInt, Field(ge=0, le=MAX_PRIORITY)]


class MigrateBody(Body):
    """Where a running job is to move: to the node `to`, or away from its nodes (null)."""

    to: Annotated[StrictStr, Field(min_length=1, max_length=256)] | None = None


class ReasonBody(Body):
    """Why an operator does it."""

    reason: Annotated[StrictStr, Field(max_length=500)] = ""
