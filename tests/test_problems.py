"""docs/problems.md: every code that can be answered is there, and no other."""

from __future__ import annotations

import ast
from http import HTTPStatus
from pathlib import Path

from api import problems

TOP = Path(__file__).parents[1]
FOLDERS = ("api", "domain", "infra", "projections", "processors")
PAGE = TOP / "docs/problems.md"
BY_STATUS = {status: HTTPStatus(status).name.lower() for status in (400, 401, 404, 405)}
OTHERS = {"invalid_request", "internal_error", *problems._CODES.values(), *BY_STATUS.values()}
COMPUTED = {"error.code": set(), "f'no_such_{unseen}'": {"no_such_job", "no_such_project"}}
"""Codes that the source does not spell out, by the expression that makes them."""


def sources() -> list[ast.Module]:
    paths = [path for folder in FOLDERS for path in sorted((TOP / folder).rglob("*.py"))]
    return [ast.parse(path.read_text(encoding="utf-8")) for path in paths]


def refusals(trees: list[ast.Module]) -> set[str]:
    """The names of the classes of refusals, wherever they are defined."""
    names = {"Refusal"}
    classes = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.ClassDef)]
    while (
        more := {c.name for c in classes if names & {ast.unparse(base) for base in c.bases}} - names
    ):
        names |= more
    return names


def codes() -> set[str]:
    """Every code the source gives to a refusal."""
    trees, found = sources(), set(OTHERS)
    names = refusals(trees)
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and node.args and ast.unparse(node.func) in names:
                found |= spelled(node.args[0])
    return found


def spelled(code: ast.expr) -> set[str]:
    if isinstance(code, ast.Constant):
        return {str(code.value)}
    return COMPUTED[ast.unparse(code)]


def test_the_page_has_every_code_and_no_other() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    headings = [line.removeprefix("### ") for line in lines if line.startswith("### ")]
    assert sorted(headings) == sorted(codes())
