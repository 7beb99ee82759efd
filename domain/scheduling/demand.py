"""Demand: what decides whether and where a job fits, and nothing else of it."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter

from domain.job.spec import JobSpec
from domain.job.where import ANYWHERE, Where
from domain.values.copies import replace
from domain.values.resources import NOTHING, Resources


@dataclass(frozen=True)
class Demand:
    """`replicas` seats (at least `least` of them), each with `per_seat`, on nodes that qualify.

    `project` and `labels` are told only where affinities ask for them, so that jobs which ask for
    the same share one demand.
    """

    docker: bool
    per_seat: Resources
    gpu_types: tuple[str, ...] = ()
    replicas: int = 1
    least: int = 1
    where: Where = ANYWHERE
    project: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    mig: str = ""

    def __hash__(self) -> int:
        """Kept: a cycle asks for it all the time."""
        known: int | None = self.__dict__.get("_hash")
        if known is None:
            known = self.__dict__["_hash"] = hash(_ALL(self))
        return known

    @property
    def simple(self) -> bool:
        """Whether seats can be counted node by node, in whole or shared GPUs."""
        where = self.where
        return (
            not self.mig
            and not where.affinity
            and not where.exclusive
            and not where.together_required
        )


_ALL = attrgetter(*Demand.__match_args__)
_NONE = Demand(docker=False, per_seat=NOTHING)
"""What is never hashed: a copy has the fields alone."""


def demand_of(spec: JobSpec) -> Demand:
    """The demand of a job."""
    near = bool(spec.where.affinity)
    return replace(
        _NONE,
        docker=spec.image is not None,
        per_seat=spec.resources,
        gpu_types=spec.gpu_types,
        replicas=spec.replicas,
        least=spec.replicas if spec.min_replicas is None else spec.min_replicas,
        where=spec.where,
        project=spec.project if near else "",
        labels=spec.labels if near else (),
        mig=spec.mig,
    )
