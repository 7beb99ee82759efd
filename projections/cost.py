"""Cost: the allocation intervals times their terms, or the prices that held at the time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from domain.event import Recorded
from domain.policy.events import PriceList, PricesSet
from domain.values.quantity import GIB
from domain.values.time import HOUR
from projections.usage import GroupBy, Window, cut
from projections.view import Key, Reader, Row, View, kinds


class PriceRow(Row, frozen=True, kw_only=True):
    """A price list and when it began to hold (microseconds); the next one ends it."""

    began: int
    prices: PriceList
    gpus: dict[str, int]  # model to micro-units an hour


def _touches(recorded: Recorded) -> Iterable[Key]:
    return [(recorded.position,)] if isinstance(recorded.event, PricesSet) else []


def _fold(row: PriceRow | None, _key: Key, recorded: Recorded) -> PriceRow | None:
    if not isinstance(recorded.event, PricesSet):
        return row
    prices = recorded.event.prices
    gpus = {price.model: price.micro_per_hour for price in prices.gpus}
    return PriceRow(
        position=recorded.position, began=recorded.recorded_at, prices=prices, gpus=gpus
    )


VIEW = View(
    name="prices",
    row=PriceRow,
    key=("position",),
    on=kinds(PricesSet),
    begins=kinds(PricesSet),
    touches=_touches,
    fold=_fold,
)


@dataclass(frozen=True)
class Cost:
    """Money in millionths of the currency unit."""

    key: str
    cpu_micro: int
    memory_micro: int
    gpu_micro: int

    @property
    def total_micro(self) -> int:
        return self.cpu_micro + self.memory_micro + self.gpu_micro


def _charge(price: str, amount: str, unit: int) -> str:
    """`domain.values.money.charge` in SQL: rounded half up once per interval and price list."""
    doubled = f"2 * ({price})::numeric * {amount} * us"
    return f"sum(div({doubled} + {unit * HOUR}, {2 * unit * HOUR}))"


def _lines(at: int | None) -> str:
    return f"""
    WITH cut AS ({cut(at)})
    SELECT cut.*, terms->'rates'->>'cpu_micro' AS cpu_price,
           terms->'rates'->>'memory_gib_micro' AS memory_price,
           terms->'rates'->>'gpu_micro' AS gpu_price, cut_ended - cut_began AS us
    FROM cut WHERE terms IS NOT NULL
    UNION ALL
    SELECT cut.*, prices->>'cpu_micro', prices->>'memory_gib_micro',
           coalesce(gpus->>gpu_model, prices->>'gpu_micro'),
           least(cut_ended, coalesce(p.until, cut_ended)) - greatest(cut_began, p.began_at)
    FROM cut
    JOIN (SELECT prices, gpus, began AS began_at, lead(began) OVER (ORDER BY position) AS until
          FROM {VIEW.at(at)} v) p
      ON p.began_at < cut_ended AND (p.until IS NULL OR p.until > cut_began)
    WHERE terms IS NULL
"""


def sums(
    connection: Reader, window: Window, group_by: GroupBy, at: int | None = None
) -> list[Cost]:
    """What was held in the window costs, by project, user or job.

    Time before the first price list costs nothing.
    """
    cpu = _charge("cpu_price", "cpu_milli", 1000)
    memory = _charge("memory_price", "memory_bytes", GIB)
    gpu = _charge("gpu_price", "gpu_milli", 1000)
    records = connection.execute(
        f'SELECT "{group_by.value}" AS key, {cpu} AS cpu, {memory} AS memory, {gpu} AS gpu'
        f" FROM ({_lines(at)}) lines GROUP BY 1 ORDER BY 1".encode(),
        window.arguments(),
    ).fetchall()
    return [Cost(r["key"], int(r["cpu"]), int(r["memory"]), int(r["gpu"])) for r in records]


def currency(connection: Reader, at: int | None = None) -> str:
    """The currency of the newest price list, empty when there is none."""
    record = connection.execute(
        f"SELECT prices->>'currency' AS currency FROM {VIEW.at(at)} v"
        " ORDER BY position DESC LIMIT 1".encode()
    ).fetchone()
    return str(record["currency"]) if record else ""
