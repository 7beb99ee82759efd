"""Budgets of a project: set as a whole, shown as they stand."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field, StrictInt, StrictStr

from api.body import Body, Quantity
from api.command import Command
from api.jobs import IdempotencyKey, Reader
from api.projects import Changed, Manager, change
from api.strict import StrictRoute
from domain.errors import Invalid, NotFound
from domain.project import project as projects
from domain.project.budget import MAX_BUDGETS, Budget, Per
from domain.values.money import MICRO
from domain.values.quantity import LARGEST, parse, to_integer
from domain.values.time import HOUR, SECOND, to_text
from projections import cost
from projections import projects as project_view
from projections.budgets import Standing, standings

router = APIRouter(route_class=StrictRoute, tags=["projects"])
Exact = Annotated[StrictInt, Field(ge=0, le=LARGEST)] | None
_GPU_SECOND = 1000 * SECOND


class BudgetBody(Body):
    """The most that may be used in a window; null is no limit.

    In hours and units of money, or exactly as it is answered: in seconds and millionths.
    """

    per: Per
    length: Annotated[StrictInt, Field(ge=1, le=10_000)] = Field(
        1, description="of rolling windows: how many hours or days"
    )
    user: Annotated[StrictStr, Field(max_length=63)] | None = Field(
        None, description="one user of the project, or * for each; null for all together"
    )
    gpu_hours: Quantity | None = None
    money: Quantity | None = Field(None, description="in the currency of the prices")
    gpu_seconds: Exact = None
    money_micro: Exact = None

    def value(self, field: str) -> Budget:
        """The budget in integers; Invalid names the field that is wrong."""
        hour = HOUR // SECOND
        gpu = _one(field, ("gpu_hours", self.gpu_hours, hour), ("gpu_seconds", self.gpu_seconds))
        money = _one(field, ("money", self.money, MICRO), ("money_micro", self.money_micro))
        return Budget(self.per, self.length, self.user or "", gpu, money)


def _one(
    field: str, wish: tuple[str, str | int | float | None, int], exact: tuple[str, int | None]
) -> int | None:
    name, value, scale = wish
    if value is None:
        return exact[1]
    if exact[1] is not None:
        raise Invalid("given_twice", f"{field}: {name} or {exact[0]}", field=f"{field}.{name}")
    return to_integer(f"{field}.{name}", parse(f"{field}.{name}", value), scale)


class BudgetsBody(Body):
    """All budgets of the project; those that are left out hold no more."""

    budgets: Annotated[list[BudgetBody], Field(max_length=MAX_BUDGETS)]


class Part(BaseModel):
    """What of a limit is used, reserved for what runs, and left: GPU-seconds, or micro-units."""

    limit: int
    used: int
    reserved: int
    left: int


class BudgetSet(BaseModel):
    """A budget as it was set; the user * is each user."""

    per: Per
    length: int
    user: str | None
    gpu_seconds: int | None
    money_micro: int | None


class BudgetAnswer(BaseModel):
    """A budget in its window; a rolling one moves on at `until`."""

    per: Per
    length: int
    user: str | None
    since: str
    until: str
    gpu_seconds: Part | None
    money_micro: Part | None


class BudgetList(BaseModel):
    currency: str
    budgets: list[BudgetSet]
    items: list[BudgetAnswer]


@router.get("/projects/{project}/budgets", response_model=BudgetList)
def get(project: str, caller: Reader) -> BudgetList:
    """What the project's budgets are, and what of them is used, reserved and left."""
    caller.within(project)
    with caller.cell.connection() as connection:
        rows = project_view.find(connection, [project], caller.at)
        if not rows:
            raise NotFound("no_such_project", "there is no such project")
        budgets = rows[0].state.budgets
        found = standings(connection, project, budgets, caller.now(), caller.at)
        currency = cost.currency(connection, caller.at)
    return BudgetList(
        currency=currency,
        budgets=[
            BudgetSet(
                per=b.per,
                length=b.length,
                user=b.user or None,
                gpu_seconds=b.gpu_seconds,
                money_micro=b.money_micro,
            )
            for b in budgets
        ],
        items=[_answer(standing) for standing in found],
    )


@router.put("/projects/{project}/budgets", status_code=202, response_model=Changed)
def set_budgets(project: str, body: BudgetsBody, caller: Manager, key: IdempotencyKey) -> Response:
    """Limit what the project and its users may use within windows of time."""
    budgets = tuple(b.value(f"budgets[{n}]") for n, b in enumerate(body.budgets))
    return change(
        Command(caller, key, project, 202), lambda state: projects.set_budgets(state, budgets)
    )


def _answer(found: Standing) -> BudgetAnswer:
    budget = found.account.budget
    return BudgetAnswer(
        per=budget.per,
        length=budget.length,
        user=found.account.user or None,
        since=to_text(found.window.since),
        until=to_text(found.window.until),
        gpu_seconds=_part(budget.gpu_seconds, found.used[0], found.reserved[0], _GPU_SECOND),
        money_micro=_part(budget.money_micro, found.used[1], found.reserved[1], 1),
    )


def _part(limit: int | None, used: int, reserved: int, unit: int) -> Part | None:
    """In whole units: used rounded down as in usage, reserved up, left down."""
    if limit is None:
        return None
    left = limit * unit - used - reserved
    return Part(
        limit=limit, used=used // unit, reserved=-(-reserved // unit), left=max(0, left) // unit
    )
