"""People: they submit, cancel, suspend, resume and change priorities, and ask until answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Any

from domain.errors import Refusal, Unavailable
from domain.job import job as jobs
from domain.job.after import After, Condition
from domain.job.spec import Checkpointing, JobSpec, Retry
from domain.job.transitions import ENDED, Phase
from domain.values.ids import JobId, ProjectId
from domain.values.resources import Resources
from domain.values.time import MILLISECOND, SECOND
from tests.simulation.cell import CellApi, Decide
from tests.simulation.invariants import Checker
from tests.simulation.loop import Loop
from tests.simulation.machine import Behaviour
from tests.simulation.network import Away, Network, Reply
from tests.simulation.plan import Plan

GIB = 2**30
PROJECTS = (ProjectId("ml"), ProjectId("ops"))
USERS = ("ada", "bob")
CALL = 3 * SECOND
PROFILES = {"1g.5gb": 142, "3g.20gb": 428}
"""MIG profiles, and the thousandths of a GPU each counts for."""


@dataclass
class Users:
    """Everybody who works with the cell. `behaviours` are by job name."""

    loop: Loop
    random: Random
    network: Network
    cell: CellApi
    checker: Checker
    most_seats: int
    plan: Plan
    sliced: bool = False
    """Whether some nodes have GPUs in MIG mode."""
    inheriting: bool = False
    """Whether important jobs like to wait for others, which inherit their priority."""
    foresighted: bool = False
    """Whether some know how long their jobs take."""

    def __post_init__(self) -> None:
        self.behaviours: dict[str, Behaviour] = {}
        self.unanswered: set[str] = set()
        self._number = 0

    def behaviour(self, job: str) -> Behaviour:
        """What a job does."""
        return self.behaviours[self.checker.names[job]]

    def acknowledged(self) -> set[str]:
        """The jobs whose submission was acknowledged, as far as the cell knows them."""
        known = {job.spec.name for job in self.checker.jobs.values()}
        return {name for name in self.behaviours if name not in self.unanswered and name in known}

    def submit(self, number: int) -> None:
        """One new job, unless it is left out."""
        planned, name = f"job#{number}", f"job-{number}"
        if not self.plan.has(planned):
            return
        kind = self.plan.random(planned)
        spec = self._after(self._spec(name, kind), kind)
        self.behaviours[name] = _behaviour(kind)
        more = self.plan.random(f"more {planned}")
        user = more.choice(USERS)
        if self.inheriting and not spec.after and more.random() < 0.4:
            spec = replace(self._behind(spec, more), priority=more.choice((3, 7, 9)))
        if self.sliced and more.random() < 0.4:
            spec = _sliced(spec, more)
        if self.foresighted and more.random() < 0.6:
            spec = replace(spec, estimate_seconds=more.choice((5, 30, 60)))
            if more.random() < 0.1 and spec.time_limit_seconds is None:
                long = more.randrange(300, 500) * SECOND
                self.behaviours[name] = replace(self.behaviours[name], run_us=long)
        self._ask(name, lambda reply: self.cell.submit(user, spec, name, reply))

    def order(self, number: int, spec: JobSpec, run_us: int) -> None:
        """One more job as it is, that runs so long by itself."""
        name = f"job-{number}"
        if self.plan.has(f"job#{number}"):
            self.behaviours[name] = Behaviour(run_us)
            ordered = replace(spec, name=name)
            self._ask(name, lambda reply: self.cell.submit(USERS[0], ordered, name, reply))

    def _after(self, spec: JobSpec, kind: Random) -> JobSpec:
        """The job, perhaps to come after one that is known by now."""
        known = self.checker.jobs.items()
        others = sorted(JobId(n) for n, job in known if job.spec.project == spec.project)
        if kind.random() >= 0.2 or not others:
            return spec
        on = kind.choice((Condition.OK, Condition.ANY))
        return replace(spec, after=(After(kind.choice(others), on),))

    def _behind(self, spec: JobSpec, kind: Random) -> JobSpec:
        """The job after some of those that have not ended."""
        known = self.checker.jobs.items()
        others = sorted(
            JobId(n)
            for n, job in known
            if job.spec.project == spec.project and job.phase not in ENDED
        )
        chosen = kind.sample(others, min(len(others), kind.randrange(1, 3)))
        return replace(spec, after=tuple(After(job, Condition.ANY) for job in chosen))

    def control(self, number: int) -> None:
        """Do something to one of the jobs, unless it is left out."""
        name = f"control#{number}"
        known, random = sorted(self.checker.jobs), self.plan.random(name)
        if not known or not self.plan.has(name):
            return
        chosen: tuple[str, Decide] = random.choice(
            (
                ("cancel", lambda job, _, deadline: jobs.cancel(job, deadline)),
                ("suspend", lambda job, _, deadline: jobs.suspend(job, deadline)),
                ("resume", lambda job, now, _: jobs.resume(job, now)),
                ("requeue", jobs.requeue),
                ("priority", _priority(random.randrange(10))),
                ("priority", _priority(random.randrange(10))),
            )
        )
        self._control(random.choice(known), *chosen)

    def reprioritize(self, random: Random) -> None:
        """Change the priority of everything that waits, at moments close to each other."""
        for name, job in sorted(self.checker.jobs.items()):
            if job.phase is Phase.QUEUED:
                change = _priority(random.randrange(10))
                delay = random.randrange(500) * MILLISECOND
                self.loop.after(delay, partial(self._control, name, "priority", change))

    def release_all(self) -> None:
        """Resume whatever waits for a person."""
        for name, job in sorted(self.checker.jobs.items()):
            if job.phase is Phase.SUSPENDED or (job.phase is Phase.HELD and job.due_at is None):
                self._control(name, "resume", lambda state, now, _: jobs.resume(state, now))

    def _control(self, job: str, what: str, decide: Decide) -> None:
        self._number += 1
        key = f"{what}-{self._number}"
        self._ask(key, lambda reply: self.cell.control(job, decide, key, reply))

    def _ask(self, key: str, handler: Callable[[Reply], None]) -> None:
        self.unanswered.add(key)

        def answered(answer: Any) -> None:
            if isinstance(answer, Away | Unavailable) or _try_again(answer):
                delay = self.random.randrange(100, 3000) * MILLISECOND
                self.loop.after(delay, lambda: self._call(handler, answered))
            else:
                self.unanswered.discard(key)

        self._call(handler, answered)

    def _call(self, handler: Callable[[Reply], None], answered: Reply) -> None:
        self.network.call("user", handler, answered, CALL)

    def _spec(self, name: str, kind: Random) -> JobSpec:
        gpus = kind.choice((0, 0, 1, 1, 2))
        docker = kind.random() < 0.3
        return JobSpec(
            name,
            kind.choice(PROJECTS),
            ("work",),
            image="image" if docker else None,
            resources=Resources(
                kind.choice((500, 1000, 2000)), kind.choice((1, 2, 4)) * GIB, gpus * 1000
            ),
            replicas=kind.choice((1, 1, 1, 2, min(3, self.most_seats))),
            priority=kind.choice((0, 0, 0, 5, 9)),
            checkpointing=Checkpointing(kind.random() < 0.4, 60),
            retry=Retry(kind.choice((0, 0, 2)), kind.choice((1, 5)), 20),
            time_limit_seconds=kind.choice((None, None, None, 30, 90)),
            grace_seconds=kind.choice((None, None, 0, 2, 8)),
            hold=kind.random() < 0.05,
        )


def _sliced(spec: JobSpec, kind: Random) -> JobSpec:
    """The same on instances of GPUs, one a seat."""
    profile = kind.choice(sorted(PROFILES))
    resources = replace(spec.resources, gpu_milli=PROFILES[profile])
    return replace(spec, resources=resources, replicas=min(2, spec.replicas), mig=profile)


def _behaviour(kind: Random) -> Behaviour:
    length = kind.choice((200, 2000, 5000, 20_000, 60_000))
    return Behaviour(
        run_us=kind.randrange(length // 2, length) * MILLISECOND,
        codes=kind.choice(((0,), (0,), (0,), (1, 0), (1,))),
        heeds_stop=kind.random() < 0.8,
        out_of_memory=kind.random() < 0.1,
    )


def _priority(value: int) -> Decide:
    return lambda job, *_: jobs.set_priority(job, value)


def _try_again(answer: Any) -> bool:
    return isinstance(answer, Refusal) and answer.code in ("version_conflict", "key_taken")
