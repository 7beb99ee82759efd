"""Seats: what each node should be doing; the agents' orders are read from here."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec.structs import replace

from domain.allocation import events as e
from domain.event import Recorded
from domain.job.job import Job
from projections import jobs
from projections.view import Key, Reader, Row, View, kinds


class SeatRow(Row, frozen=True, kw_only=True):
    """A seat that is held: for which lease session of which node, and how far it came."""

    allocation: str
    rank: int
    node: str
    session: str
    job: str
    attempt: int
    devices: tuple[str, ...]
    started: bool
    ended: bool
    cpu_milli: int
    memory_bytes: int
    gpu_milli: int
    storage_bytes: int
    network_mbps: int


def _touches(recorded: Recorded) -> Iterable[Key]:
    allocation = recorded.stream.partition("/")[2]
    match recorded.event:
        case e.Granted(seats=seats) | e.Released(seats=seats):
            return [(allocation, seat.rank) for seat in seats]
        case e.SeatStarted(rank=rank) | e.SeatEnded(rank=rank) | e.SeatLost(rank=rank):
            return [(allocation, rank)]
    return ()


def _fold(row: SeatRow | None, key: Key, recorded: Recorded) -> SeatRow | None:
    event = recorded.event
    if isinstance(event, e.Granted):
        rank, each = int(key[1]), event.per_seat
        return SeatRow(
            allocation=event.allocation,
            rank=rank,
            node=event.seats[rank].node,
            session=event.boots[rank],
            job=event.job,
            attempt=event.attempt,
            devices=event.seats[rank].devices,
            started=False,
            ended=False,
            cpu_milli=each.cpu_milli,
            memory_bytes=each.memory_bytes,
            gpu_milli=each.gpu_milli,
            storage_bytes=each.storage_bytes,
            network_mbps=each.network_mbps,
            position=recorded.position,
        )
    if row is None or isinstance(event, e.Released):
        return None
    if isinstance(event, e.SeatStarted):
        return replace(row, started=True, position=recorded.position)
    return replace(row, ended=True, position=recorded.position)


VIEW = View(
    name="seats",
    row=SeatRow,
    key=("allocation", "rank"),
    on=kinds(e.AllocationEvent),
    begins=kinds(e.Granted),
    touches=_touches,
    fold=_fold,
    indexes=("(node) WHERE NOT ended",),
)


@dataclass(frozen=True)
class Order:
    """A seat a node should care for, its job, and the checkpoint to go on from.

    Until it is `ready`, what is known of the job or its checkpoints may be of before its grant.
    """

    seat: SeatRow
    job: Job
    restore: str | None
    checkpoints_known: bool = True

    @property
    def of_now(self) -> bool:
        """Whether the job is known as of this attempt."""
        return self.job.attempt == self.seat.attempt

    @property
    def ready(self) -> bool:
        return self.of_now and (self.checkpoints_known or not self.job.spec.checkpointing.enabled)


def orders(connection: Reader, node: str, session: str) -> list[Order]:
    """The seats this session of the node holds and has not ended, in order of their grant."""
    records = connection.execute(
        "SELECT s.*, to_jsonb(j) AS of_job, ("
        "  SELECT c.digest FROM view_checkpoints c WHERE c.job = s.job AND c.rank = s.rank"
        "  ORDER BY c.number DESC LIMIT 1) AS restore,"
        " (SELECT position FROM view_positions WHERE view = 'checkpoints') >= s.position AS known"
        " FROM view_seats s JOIN view_jobs j ON j.id = s.job"
        " WHERE s.node = %s AND s.session = %s AND NOT s.ended"
        " ORDER BY s.allocation, s.rank",
        (node, session),
    ).fetchall()
    return [
        Order(
            restore=record.pop("restore"),
            checkpoints_known=bool(record.pop("known")),
            job=jobs.VIEW.read(record.pop("of_job")).state,
            seat=VIEW.read(record),
        )
        for record in records
    ]


def get(connection: Reader, allocation: str, rank: int) -> SeatRow | None:
    """One seat that is held."""
    record = connection.execute(
        "SELECT * FROM view_seats WHERE allocation = %s AND rank = %s", (allocation, rank)
    ).fetchone()
    return VIEW.read(record) if record else None
