"""Budgets as they stand: used and reserved in the windows of a moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

from domain.project.budget import EACH_USER, Budget, window_at
from domain.project.budget import Window as Span
from domain.scheduling.budgets import Account
from domain.scheduling.spending import NONE, Amount, Piece, add
from domain.values.resources import Resources
from projections import cost, usage
from projections.usage import GroupBy, Window
from projections.view import Reader


@dataclass(frozen=True)
class Standing:
    """One budget of a project, or of one user of it, in its window at a moment.

    `used` is what usage and cost say of the window so far; `reserved` what those that run may still
    come to in it.
    """

    account: Account
    window: Span
    used: Amount
    reserved: Amount


def standings(
    connection: Reader, project: str, budgets: tuple[Budget, ...], now: int, at: int | None = None
) -> list[Standing]:
    """Each budget of the project; those of each user for all who used something in the window."""
    pieces = _on_terms(connection, project, at)
    found = []
    for budget in budgets:
        span = window_at(budget, now)
        used = _used(connection, Window([project], span.since, now), at)
        each = sorted({*used, *(piece.user for piece in pieces)})
        for user in each if budget.user == EACH_USER else [budget.user]:
            account = Account(project, budget, user)
            total = _sum(amount for name, amount in used.items() if user in ("", name))
            mine = (piece for piece in pieces if user in ("", piece.user))
            rest = _sum(_reserved(account, piece, span, now) for piece in mine)
            found.append(Standing(account, span, total, rest))
    return found


def _reserved(account: Account, piece: Piece, span: Span, now: int) -> Amount:
    most, used = account.part(piece, span), piece.between(span.since, now)
    return most[0] - used[0], most[1] - used[1]


def _sum(amounts: Iterable[Amount]) -> Amount:
    return reduce(add, amounts, NONE)


def _used(connection: Reader, window: Window, at: int | None) -> dict[str, Amount]:
    """What each user used, as the usage and the cost of the same window say."""
    held = {u.key: u.gpu_milli_us for u in usage.sums(connection, window, GroupBy.USER, at)}
    paid = {c.key: c.total_micro for c in cost.sums(connection, window, GroupBy.USER, at)}
    return {user: (held.get(user, 0), paid.get(user, 0)) for user in {**held, **paid}}


def _on_terms(connection: Reader, project: str, at: int | None) -> list[Piece]:
    """What is held on terms; nothing is reserved for the rest."""
    records = connection.execute(
        f"SELECT * FROM {usage.VIEW.at(at)} v"
        " WHERE project = %s AND ended IS NULL AND terms IS NOT NULL".encode(),
        (project,),
    ).fetchall()
    found = []
    for row in map(usage.VIEW.read, records):
        assert row.terms is not None, "it was asked for"
        amount = Resources(row.cpu_milli, row.memory_bytes, row.gpu_milli)
        found.append(
            Piece(
                project,
                row.user,
                amount,
                row.gpu_model,
                row.terms.rates,
                row.began,
                row.terms.until,
            )
        )
    return found
