"""Small cells told in a few words: nodes, jobs, a policy, and who was placed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from domain.checkpoint.events import CheckpointCause, Committed, Manifest
from domain.job.spec import JobSpec
from domain.job.transitions import PLACED, Phase
from domain.policy.events import Cohort, CohortsSet, SchedulerSet, SchedulerSettings
from domain.scheduling.reason import WaitReason
from domain.values.ids import JobId, ProjectId
from domain.values.resources import Resources
from domain.values.time import SECOND
from tests.domain.examples import offer
from tests.domain.scheduling.cell import STOPPED, Cell


class Stage(Cell):
    """A cell whose jobs are `name: gpus` and whose nodes have GPUs."""

    def policy(self, **settings: Any) -> None:
        self.record("policy/cell", [SchedulerSet(SchedulerSettings(**settings))])

    def cohorts(self, *cohorts: Cohort) -> None:
        self.record("policy/cell", [CohortsSet(cohorts)])

    def node(self, name: str, gpus: int = 0, **changes: Any) -> None:
        self.offer(offer(name, gpus=gpus, **changes))

    def job(self, job: JobId | str) -> Any:
        return super().job(JobId(job))

    def ask(self, name: str, gpus: float = 1, project: str = "ml", **changes: Any) -> JobId:
        """A job of one seat (or `replicas`) with so many GPUs and no more than that."""
        self.now += SECOND
        spec = JobSpec(
            name, ProjectId(project), ("true",), resources=Resources(0, 0, int(gpus * 1000))
        )
        return self.submit(name, replace(spec, **changes))

    def run(self) -> list[str]:
        """One cycle; the jobs that were placed, in order, and begin to run."""
        made = self.decide()
        for placement in made.placements:
            self.start(placement.job)
        return [str(placement.job) for placement in made.placements]

    def placed(self) -> list[str]:
        return [str(job) for job in self.in_phase(*PLACED)]

    def nodes_of(self, job: str) -> list[str]:
        return [str(seat.node) for seat in self.job(job).seats]

    def why(self, job: str) -> WaitReason:
        reason = self.job(job).waiting
        assert isinstance(reason, WaitReason), f"{job} was told nothing"
        return reason

    def end_all(self, *names: str) -> None:
        for name in names:
            self.end(JobId(name))

    def leave(self) -> None:
        """Those that were asked to leave save, end, and are in the queue again."""
        for job in self.in_phase(Phase.PREEMPTING):
            self.end(job, STOPPED)

    def save(self, job: JobId) -> None:
        """The job commits a checkpoint."""
        manifest = Manifest(0, "0" * 64, 1, 1, 1)
        attempt = self.job(job).attempt
        event = Committed(job, attempt, 1, CheckpointCause.INTERVAL, manifest)
        self.record(f"checkpoint/{job}", [event])

    def pass_time(self, seconds: int) -> None:
        self.now += seconds * SECOND
