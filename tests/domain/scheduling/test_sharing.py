"""The sharing tree: borrowed and lent, counted by a judge who knows only who holds what."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from domain.job.transitions import PLACED, Phase
from domain.policy.events import Cohort, Limits
from domain.scheduling.reason import WaitCode
from domain.values.ids import ProjectId
from tests.domain.scheduling.stage import Stage

GPUS = 40
PROJECTS = ("a", "b", "c", "d")


def _limit(draw: st.DataObject, most: int) -> Limits:
    amount = draw.draw(st.none() | st.integers(0, most))
    return Limits(gpu_milli=None if amount is None else 1000 * amount)


def _tree(draw: st.DataObject) -> list[Cohort]:
    """A root, perhaps two departments with a team in one of them, and a project in each place."""
    inner = [("root", "")]
    for name in ("north", "south", "team"):
        parent = draw.draw(st.sampled_from([known for known, _ in inner]))
        inner.append((name, parent))
    cohorts = [
        Cohort(name, parent, nominal=_limit(draw, 4), borrow=_limit(draw, 4), lend=_limit(draw, 3))
        for name, parent in inner
    ]
    for project in PROJECTS:
        parent = draw.draw(st.sampled_from([known for known, _ in inner]))
        cohorts.append(
            Cohort(
                project,
                parent,
                project=ProjectId(project),
                nominal=_limit(draw, 5),
                borrow=_limit(draw, 4),
                lend=_limit(draw, 4),
            )
        )
    return cohorts


class Judge:
    """Quotas and use of every cohort, in GPUs, by the definitions of docs/scheduling.md."""

    def __init__(self, cohorts: list[Cohort], held: dict[str, int]) -> None:
        self.cohorts = {cohort.name: cohort for cohort in cohorts}
        self.held = held

    def _children(self, name: str) -> list[str]:
        return [c.name for c in self.cohorts.values() if c.parent == name]

    def quota(self, name: str) -> int:
        """Its own, and what those below lend of theirs."""
        own = self.cohorts[name].nominal.gpu_milli or 0
        below = self._children(name)
        return own + sum(self.quota(child) - self.kept(child) for child in below)

    def kept(self, name: str) -> int:
        """What of its quota nobody else may take."""
        lend = self.cohorts[name].lend.gpu_milli
        return 0 if lend is None else max(0, self.quota(name) - lend)

    def used(self, name: str) -> int:
        """What it holds, and what those below hold beyond what is kept for them."""
        below = self._children(name)
        beyond = sum(max(0, self.used(child) - self.kept(child)) for child in below)
        return self.held.get(name, 0) + beyond

    def limited(self, name: str) -> bool:
        """Whether anybody from there on has a quota."""
        own = self.cohorts[name].nominal.gpu_milli
        return own is not None or any(self.limited(child) for child in self._children(name))

    def passed(self, project: str) -> str:
        """The first cohort from the project up that uses more than it may, or nothing.

        Where all of its use is kept for a cohort, no one above is asked.
        """
        name = project
        while True:
            cohort = self.cohorts[name]
            if not cohort.parent:
                over = self.limited(name) and self.used(name) > self.quota(name)
                return name if over else ""
            if self.used(name) <= self.kept(name):
                return ""
            borrow = cohort.borrow.gpu_milli
            if borrow is not None and self.used(name) > self.quota(name) + borrow:
                return name
            name = cohort.parent


def _held(stage: Stage) -> dict[str, int]:
    held = dict.fromkeys(PROJECTS, 0)
    for name in stage.in_phase(*PLACED):
        spec = stage.job(name).spec
        held[spec.project] += spec.resources.gpu_milli
    return held


@given(data=st.data())
@settings(max_examples=150)
def test_nobody_takes_more_than_is_its_own_lent_and_borrowed_nor_waits_for_less(
    data: st.DataObject,
) -> None:
    stage = Stage()
    stage.node("n", GPUS)
    stage.policy(enable_preemption=False)
    cohorts = _tree(data)
    stage.cohorts(*cohorts)
    for number in range(data.draw(st.integers(3, 14))):
        project = data.draw(st.sampled_from(PROJECTS))
        stage.ask(f"job-{number}", data.draw(st.integers(1, 4)), project)
        if data.draw(st.integers(0, 3)):
            continue
        for name in stage.in_phase(*PLACED)[: data.draw(st.integers(0, 2))]:
            stage.end(name)
        for placed in stage.run():
            project = stage.job(placed).spec.project
            assert Judge(cohorts, _held(stage)).passed(project) == "", (placed, stage)
        for waiting in stage.in_phase(Phase.QUEUED):
            job = stage.job(waiting)
            if job.waiting is not None and job.waiting.code is WaitCode.OVER_QUOTA:
                held = _held(stage)
                held[job.spec.project] += job.spec.resources.gpu_milli
                assert Judge(cohorts, held).passed(job.spec.project), (waiting, stage)
