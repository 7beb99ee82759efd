"""What a job asks for; fixed when it is submitted."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.errors import Invalid
from domain.job.after import After, check_after
from domain.job.where import ANYWHERE, Where
from domain.values.checks import between
from domain.values.ids import ProjectId
from domain.values.mig import check_profile, milli_of
from domain.values.priority import MAX_PRIORITY
from domain.values.quantity import LARGEST
from domain.values.resources import Resources
from domain.values.time import YEAR_SECONDS

MAX_REPLICAS = 4096
MAX_COMMAND_BYTES = 128 * 1024
MAX_ENV = 256
MAX_LABELS = 64


@dataclass(frozen=True)
class Checkpointing:
    """Checkpoint contract v1 (docs/checkpoints.md): ask to save every `interval_seconds`."""

    enabled: bool = False
    interval_seconds: int = 3600


@dataclass(frozen=True)
class Retry:
    """How often a failed job runs again, and the waits between: doubling, with a ceiling."""

    max_retries: int = 0
    backoff_seconds: int = 10
    max_backoff_seconds: int = 600


@dataclass(frozen=True)
class JobSpec:
    """One job: `replicas` seats (a gang when more than one), each with `resources`.

    `image` None means the command runs on the host's own files, in a sandbox. `gpu_types`
    lists acceptable GPU models; empty means any. Times are whole seconds, but `deadline`: the
    moment (microseconds since the epoch) by which the job should have ended. `estimate_seconds`
    is how long it is expected to run, for planning only; without it the time limit is taken.
    `min_replicas` makes a gang elastic: it starts with as many seats as fit, at least so many.
    `accept_when_absent`: it was to be accepted even if no node known could ever run it.
    `after` are jobs of the project that have to end before it may start.
    `mig` is a MIG profile: each seat gets one instance of it, which is what its GPU share counts.
    """

    name: str
    project: ProjectId
    command: tuple[str, ...]
    image: str | None = None
    resources: Resources = Resources(cpu_milli=1000)
    gpu_types: tuple[str, ...] = ()
    replicas: int = 1
    priority: int = 0
    env: tuple[tuple[str, str], ...] = ()
    checkpointing: Checkpointing = Checkpointing()
    retry: Retry = Retry()
    time_limit_seconds: int | None = None
    grace_seconds: int | None = None
    hold: bool = False
    labels: tuple[tuple[str, str], ...] = field(default=())
    where: Where = ANYWHERE
    estimate_seconds: int | None = None
    deadline: int | None = None
    min_replicas: int | None = None
    preemptible: bool = True
    accept_when_absent: bool = False
    after: tuple[After, ...] = ()
    mig: str = ""

    def __post_init__(self) -> None:
        between("priority", self.priority, 0, MAX_PRIORITY)
        self.resources.check_one("resources")
        between("replicas", self.replicas, 1, MAX_REPLICAS)
        between("retry.max_retries", self.retry.max_retries, 0, 100)
        between("retry.backoff_seconds", self.retry.backoff_seconds, 0, 86_400)
        between("retry.max_backoff_seconds", self.retry.max_backoff_seconds, 0, 86_400)
        between(
            "checkpointing.interval_seconds",
            self.checkpointing.interval_seconds,
            1,
            YEAR_SECONDS,
        )
        if self.time_limit_seconds is not None:
            between("time_limit_seconds", self.time_limit_seconds, 1, YEAR_SECONDS)
        if self.grace_seconds is not None:
            between("grace_seconds", self.grace_seconds, 0, 86_400)
        if self.estimate_seconds is not None:
            between("estimate_seconds", self.estimate_seconds, 1, YEAR_SECONDS)
        if self.min_replicas is not None:
            between("min_replicas", self.min_replicas, 1, self.replicas)
        if self.deadline is not None:
            between("deadline", self.deadline, 0, LARGEST)
        check_after(self.after)
        if not self.command or not self.command[0]:
            raise Invalid("no_command", "command: give at least one word", field="command")
        if len("".join(self.command).encode()) > MAX_COMMAND_BYTES:
            raise Invalid("too_large", "command: at most 128 KiB", field="command")
        if len(self.env) > MAX_ENV:
            raise Invalid("too_large", f"env: at most {MAX_ENV} variables", field="env")
        if len(self.labels) > MAX_LABELS:
            raise Invalid("too_large", f"labels: at most {MAX_LABELS}", field="labels")
        if "\0" in "".join([*self.command, *(text for pair in self.env for text in pair)]):
            raise Invalid("bad_text", "command and env: no NUL characters", field="command")
        if self.resources.gpu_milli > 1000 and self.resources.gpu_milli % 1000:
            raise Invalid(
                "fractional_gpu",
                "resources.gpu: ask for whole GPUs, or for a share of one such as 0.25",
                field="resources.gpu",
            )
        if self.mig:
            share = milli_of(check_profile("resources.mig", self.mig))
            if self.resources.gpu_milli != share:
                detail = f"resources.gpu: a seat with {self.mig} counts {share} thousandths"
                raise Invalid("bad_mig_profile", detail, field="resources.mig")
        if self.gpu_types and not self.resources.gpu_milli:
            raise Invalid(
                "gpu_type_without_gpu",
                "resources.gpu_type: ask for at least one gpu, or leave the type out",
                field="resources.gpu_type",
            )

    @property
    def expected_seconds(self) -> int | None:
        """How long it is planned to run; None if nothing is known."""
        return self.estimate_seconds or self.time_limit_seconds

    @property
    def total(self) -> Resources:
        """What all seats ask for together."""
        return self.resources * self.replicas
