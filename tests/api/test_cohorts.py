"""The sharing tree over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from domain.access import Role
from tests.api.problem import check_problem
from tests.api.world import World

TREE = {
    "cohorts": [
        {"name": "lab", "nominal": {"gpu_milli": 4000}},
        {"name": "ml", "parent": "lab", "project": "ml-research", "shares": 2},
    ]
}


def test_a_tree_that_was_set_is_shown(world: World) -> None:
    admin = world.person("root-of-trees", Role.ADMIN)
    answer = admin.send("PUT", "/policy/cohorts", TREE)
    assert answer.status_code == 202, answer.text
    seen = answer.json()["position"]
    shown = admin.get("/policy/cohorts", min_position=seen).json()["cohorts"]
    assert [(c["name"], c["parent"], c["project"], c["shares"]) for c in shown] == [
        ("lab", "", None, 1),
        ("ml", "lab", "ml-research", 2),
    ]
    assert shown[0]["nominal"] == {"gpu_milli": 4000, "cpu_milli": None, "memory_bytes": None}


@pytest.mark.parametrize(
    ("cohorts", "code", "field"),
    [
        ([{"name": "a", "parent": "b"}], "unknown_parent", "cohorts[0].parent"),
        ([{"name": "a"}, {"name": "a"}], "duplicate_cohort", "cohorts[1].name"),
        (
            [{"name": "a", "project": "p"}, {"name": "b", "project": "p"}],
            "bad_leaf",
            "cohorts[1].project",
        ),
        (
            [{"name": "a", "nominal": {"gpu_milli": 1}, "lend": {"gpu_milli": 2}}],
            "lends_too_much",
            "cohorts[0].lend.gpu_milli",
        ),
    ],
)
def test_what_is_no_tree_is_refused_by_field(
    world: World, cohorts: list[dict[str, Any]], code: str, field: str
) -> None:
    admin = world.person("root-of-trees", Role.ADMIN)
    before = world.store.head()
    answer = admin.send("PUT", "/policy/cohorts", {"cohorts": cohorts})
    problem = check_problem(answer, 422, code)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert world.store.head() == before
