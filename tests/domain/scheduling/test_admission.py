"""Admission: what no state of the fleet would run is refused, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from domain.errors import Invalid
from domain.job.spec import JobSpec
from domain.job.where import Affinity, Scope, Where
from domain.node.events import Registered
from domain.policy.policy import Policy
from domain.scheduling.admission import SAMPLE, Fleet, admit
from domain.scheduling.demand import demand_of
from domain.values.resources import Resources
from domain.values.time import SECOND
from domain.values.topology import Location
from tests.domain.examples import GIB, NOW, offer, spec
from tests.domain.scheduling.cell import Cell
from tests.domain.scheduling.strategies import SPECS, cells


def fleet(*offers: Registered, alive: bool = True) -> Fleet:
    return Fleet(offers, Policy(), alive=alive)


def gpus(count: float, **more: Any) -> JobSpec:
    return spec(resources=Resources(1000, GIB, int(count * 1000)), **more)


TWO = (offer("n0", gpus=4, pool="p", labels=(("zone", "a"),)), offer("n1", gpus=8, model="H100"))
REFUSED: list[tuple[JobSpec, str, dict[str, int], str]] = [
    # a job, the field, the nodes excluded, what would be accepted
    (gpus(1, gpu_types=("B200",)), "resources.gpu_type", {"gpu_type": 2}, "A100, H100"),
    (gpus(9), "resources.gpu", {"gpu_size": 2}, "at most 8 a seat"),
    (gpus(8, gpu_types=("A100",)), "resources.gpu", {"gpu_type": 1, "gpu_size": 1}, "at most 4"),
    (spec(resources=Resources(9000)), "resources.cpu", {"cpu_size": 2}, "at most 8 CPUs"),
    (spec(resources=Resources(0, 40 * GIB)), "resources.memory", {"memory_size": 2}, "32 GiB"),
    (spec(where=Where(pools=("x",))), "where.pools", {"pool": 2}, "h100, p"),
    (spec(where=Where(selector=(("zone", "b"),))), "where.selector", {"selector": 2}, "zone=a"),
    (spec(where=Where(constraint="gpus > 8")), "where.constraint", {"constraint": 2}, "less"),
    (gpus(4, replicas=4), "replicas", {}, "at most 2 replicas"),
]


@pytest.mark.parametrize(("job", "field", "excluded", "fix"), REFUSED)
def test_it_says_what_excludes_how_many_nodes_and_what_would_be_accepted(
    job: JobSpec, field: str, excluded: dict[str, int], fix: str
) -> None:
    with pytest.raises(Invalid) as refused:
        admit(job, fleet(*TWO), NOW)
    assert refused.value.code == "never_fits"
    assert refused.value.facts["field"] == field
    assert refused.value.facts["excluded"] == excluded
    assert fix in str(refused.value.facts["fix"])
    assert "accept_when_absent" in refused.value.detail
    admit(replace(job, accept_when_absent=True), fleet(*TWO), NOW)


def test_without_any_node_alive_everything_is_accepted() -> None:
    admit(gpus(64), fleet(alive=False), NOW)
    admit(gpus(64), fleet(*TWO, alive=False), NOW)


def test_jobs_that_come_and_go_do_not_count_but_the_jobs_own_seats_do() -> None:
    label = ("app", "db")
    near = Where(affinity=(Affinity(label),))
    apart = Where(affinity=(Affinity(label, Scope.NODE, avoid=True),))
    admit(spec(where=near), fleet(*TWO), NOW)
    admit(spec(where=apart, labels=(label,), replicas=2), fleet(*TWO), NOW)
    with pytest.raises(Invalid, match="replicas"):
        admit(spec(where=apart, labels=(label,), replicas=3), fleet(*TWO), NOW)


def test_a_gang_that_must_be_together_is_told_so() -> None:
    racks = [offer(f"n{n}", gpus=4, location=Location(rack=f"r{n}")) for n in range(2)]
    job = gpus(4, replicas=2, where=Where(together=Scope.RACK, together_required=True))
    with pytest.raises(Invalid, match="in one rack"):
        admit(job, fleet(*racks), NOW)


def test_a_rare_node_beyond_the_sample_counts() -> None:
    many = [offer(f"n{n:04d}", gpus=1, labels=(("n", str(n)),)) for n in range(SAMPLE + 50)]
    admit(spec(where=Where(selector=(("n", str(SAMPLE + 49)),))), fleet(*many), NOW)
    admit(gpus(1, replicas=SAMPLE + 50), fleet(*many), NOW)
    with pytest.raises(Invalid):
        admit(gpus(1, replicas=SAMPLE + 51), fleet(*many), NOW)


@settings(max_examples=60)
@given(cell=cells(), job=SPECS)
def test_it_is_what_the_planner_calls_never(cell: Cell, job: JobSpec) -> None:
    """Law: for nodes that are all alive, refused is what `never_fits` says of the snapshot."""
    for state in cell.snapshot.nodes.values():
        state.node = replace(state.node, alive=True)
    offers = [state.node.offer for state in cell.snapshot.nodes.values()]
    verdict = fleet(*offers).judge(job)
    assert (verdict is not None) == (
        bool(offers) and cell.snapshot.rooms.never_fits(cell.snapshot, demand_of(job))
    )


@pytest.mark.parametrize(
    ("deadline", "estimate", "said"),
    [
        (-1, None, "lies in the past"),
        (3599, 3600, "expected to run 3600 seconds"),
        (3599, 3600, "at most 3599 seconds"),
        (0, 10, "give one from"),
    ],
)
def test_a_deadline_nothing_can_meet_is_refused(
    deadline: int, estimate: int | None, said: str
) -> None:
    job = spec(deadline=NOW + deadline * SECOND, estimate_seconds=estimate)
    with pytest.raises(Invalid, match=said) as refused:
        admit(replace(job, accept_when_absent=True), fleet(*TWO), NOW)
    assert refused.value.code == "cannot_meet_deadline"


def test_a_deadline_that_can_be_met_is_accepted() -> None:
    for estimate, limit in ((3600, None), (None, 9999), (None, None)):
        job = spec(
            deadline=NOW + 3600 * SECOND, estimate_seconds=estimate, time_limit_seconds=limit
        )
        admit(job, fleet(*TWO), NOW)
