"""The sharing tree: what makes a list of cohorts one."""

from __future__ import annotations

from domain.errors import Invalid
from domain.policy.events import Cohort
from domain.values.checks import between
from domain.values.ids import check_name
from domain.values.quantity import LARGEST

MAX_COHORTS = 10_000
MAX_DEPTH = 8


def check_tree(cohorts: tuple[Cohort, ...]) -> None:
    """Refuse anything but a tree with parents before children, projects as leaves, each once."""
    if len(cohorts) > MAX_COHORTS:
        raise Invalid("too_large", f"cohorts: at most {MAX_COHORTS}", field="cohorts")
    depth = {"": 0}
    inner = {cohort.parent for cohort in cohorts}
    projects: set[str] = set()
    for number, cohort in enumerate(cohorts):
        field = f"cohorts[{number}]"
        check_name(f"{field}.name", cohort.name)
        if cohort.name in depth:
            raise Invalid("duplicate_cohort", f"{field}.name: named before", field=f"{field}.name")
        if cohort.parent not in depth:
            detail = f"{field}.parent: no cohort of that name before this one"
            raise Invalid("unknown_parent", detail, field=f"{field}.parent")
        depth[cohort.name] = depth[cohort.parent] + 1
        if depth[cohort.name] > MAX_DEPTH:
            detail = f"{field}.parent: at most {MAX_DEPTH} levels"
            raise Invalid("too_deep", detail, field=f"{field}.parent")
        if cohort.project is not None:
            if cohort.project in projects or cohort.name in inner:
                detail = f"{field}.project: each project once, and as a leaf"
                raise Invalid("bad_leaf", detail, field=f"{field}.project")
            projects.add(cohort.project)
        _check_amounts(field, cohort)


def _check_amounts(field: str, cohort: Cohort) -> None:
    between(f"{field}.shares", cohort.shares, 1, 1_000_000)
    for part in ("nominal", "borrow", "lend", "user_limit"):
        for name, value in vars(getattr(cohort, part)).items():
            if value is not None:
                between(f"{field}.{part}.{name}", value, 0, LARGEST)
    for name, lent in vars(cohort.lend).items():
        own = getattr(cohort.nominal, name)
        if lent is not None and (own is None or lent > own):
            detail = f"{field}.lend.{name}: at most what nominal says"
            raise Invalid("lends_too_much", detail, field=f"{field}.lend.{name}")
