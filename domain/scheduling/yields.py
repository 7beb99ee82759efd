"""Yields: what those who may be asked to leave give back, as rows of integers for every demand."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from domain.job.job import Job
from domain.scheduling.board import Board
from domain.scheduling.demand import Demand
from domain.scheduling.ends import expected_end
from domain.scheduling.fleet import leaving
from domain.scheduling.fleet.demand import MOST_GPUS, MOST_MODELS
from domain.scheduling.fleet.layout import NONE, STRIDE, Ints
from domain.scheduling.room import Room
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import DeviceId

NEVER = 2**62


class Yields:
    """Finds victims for simple demands in rooms whose board has this ground.

    `found` are all who may be asked by somebody, in the order to ask them; each demand may ask the
    first so many. The same as `find_victims` and `OneSeat` find by looking at jobs and spaces.
    """

    def __init__(self, snapshot: Snapshot, now: int, found: Sequence[Job], board: Board) -> None:
        self.ground = board.ground
        self._snapshot, self._now, self._found = snapshot, now, found
        self._cells, self._loops = board.cells, board.leaving
        self._number = {job.id: number for number, job in enumerate(found)}
        seats, parts = self._rows()
        self._parts, self._seats = self._cells.of(parts), self._cells.of(seats)
        self._by_node(seats)
        self._priorities = self._cells.of([job.priority for job in found])
        self._out: dict[int | None, Ints] = {None: self._cells.filled(len(found), 0)}
        """Those who are not asked, by the time until which who leaves is counted on."""
        nodes = len(self.ground.ids)
        self._scratch = self._cells.filled(nodes * STRIDE, 0)
        self._able, self._counts = self._cells.filled(nodes, 0), self._cells.filled(nodes, 0)
        self._picked = self._cells.filled(len(found), 0)

    def asked(self, victims: Sequence[Job]) -> None:
        """These were asked to leave: nobody asks them again."""
        for victim in victims:
            for out in self._out.values():
                out[self._number[victim.id]] = 1

    def one_seat(
        self, demand: Demand, room: Room, board: Board, most: int, counted: int | None
    ) -> list[Job] | None:
        """The cheapest victims on any one node, of the first `most`; None if none are enough.

        Who is expected to leave by `counted` is not asked.
        """
        base, allowed, row = board.rows_for(demand, room.spaces)
        out = self._out_by(counted)
        who, node = self._loops.first(
            base, self._scratch, allowed, row, self._seats, self._starts, self._order,
            out, most, self._names,
        )  # fmt: skip
        if who == NONE:
            return None
        parts = self._parts
        nodes = {int(self._seats[s * leaving.SEAT + leaving.WHERE])
                 for s in range(parts[who], parts[who + 1])}  # fmt: skip
        only = self._cells.filled(len(allowed), 0)
        for each in nodes:
            only[each] = allowed[each]
        picked: list[int] = []
        for each in range(self._starts[node], self._starts[node + 1]):
            other = int(self._seats[self._order[each] * leaving.SEAT + leaving.WHO])
            if other <= who and not out[other] and other not in picked[-1:]:
                picked.append(other)
        return self._fewest(base, only, row, picked, 1, 1)

    def gang(
        self, demand: Demand, room: Room, board: Board, most: int, counted: int | None
    ) -> list[Job] | None:
        """Victims anywhere, of the first `most`; None if all are not enough."""
        base, allowed, row = board.rows_for(demand, room.spaces)
        out, totals = self._out_by(counted), self._begin(base, allowed, row, demand.replicas)
        size = self._loops.gather(
            self._scratch, self._able, row, self._seats, self._parts, out, most,
            demand.replicas, demand.least, self._counts, totals, self._picked,
        )  # fmt: skip
        if size == NONE or all(out[:most]):
            return None
        return self._spare(row, self._picked, size, demand.replicas, demand.least, totals)

    def _fewest(
        self, base: Ints, allowed: Ints, row: Ints, picked: list[int], replicas: int, least: int
    ) -> list[Job]:
        """Those of the picked without whom there are not `least` seats."""
        totals, found = self._begin(base, allowed, row, replicas), self._cells.of(picked)
        self._loops.leave(
            self._scratch, self._able, row, self._seats, self._parts, found,
            replicas, self._counts, totals,
        )  # fmt: skip
        return self._spare(row, found, len(picked), replicas, least, totals)

    def _begin(self, base: Ints, allowed: Ints, row: Ints, replicas: int) -> Ints:
        totals = self._cells.filled(MOST_MODELS, 0)
        self._loops.begin(
            base, self._scratch, allowed, self._able, row, replicas, self._counts, totals
        )
        return totals

    def _spare(
        self, row: Ints, picked: Ints, size: int, replicas: int, least: int, totals: Ints
    ) -> list[Job]:
        self._loops.spare(
            self._scratch, self._able, row, self._seats, self._parts, self._priorities,
            picked, size, replicas, least, self._counts, totals,
        )  # fmt: skip
        return [self._found[picked[n]] for n in range(size) if picked[n] != NONE]

    def _out_by(self, counted: int | None) -> Ints:
        """Those who are not asked where a start is planned with all who leave by then."""
        found = self._out.get(counted)
        if found is None:
            assert counted is not None, "it is known from the beginning"
            asked = self._out[None]
            found = self._out[counted] = self._cells.of(
                [int(asked[n] or end <= counted) for n, end in enumerate(self._ends)]
            )
        return found

    @cached_property
    def _ends(self) -> list[int]:
        ends = (expected_end(job, self._now) for job in self._found)
        return [NEVER if end is None else end for end in ends]

    def _rows(self) -> tuple[list[int], list[int]]:
        """The seats of all who may be asked, and from which to which each one has."""
        seats: list[int] = []
        parts = [0]
        index, allocations = self.ground.index, self._snapshot.allocations
        bits: dict[int, dict[DeviceId, int]] = {}
        for who, job in enumerate(self._found):
            assert job.allocation is not None, "who may be asked was placed"
            held = allocations[job.allocation]
            want, owns = held.per_seat, int(held.exclusive)
            for seat in held.seats:
                node, mask = index[seat.node], 0
                if seat.devices:
                    if node not in bits:
                        offered = self.ground.offers[node].devices[:MOST_GPUS]
                        bits[node] = {d.id: 1 << n for n, d in enumerate(offered) if not d.mig}
                    for device in seat.devices:
                        mask |= bits[node].get(device, 0)
                seats += (
                    who, node, want.cpu_milli, want.memory_bytes, want.storage_bytes,
                    want.network_mbps, want.milli_each, mask, owns,
                )  # fmt: skip
            parts.append(len(seats) // leaving.SEAT)
        return seats, parts

    def _by_node(self, seats: list[int]) -> None:
        """The seats of each node, in the order to ask those who have them."""
        nodes = seats[leaving.WHERE :: leaving.SEAT]
        order = sorted(range(len(nodes)), key=nodes.__getitem__)
        starts = [0] * (len(self.ground.ids) + 1)
        for node in nodes:
            starts[node + 1] += 1
        for node in range(len(self.ground.ids)):
            starts[node + 1] += starts[node]
        self._order, self._starts = self._cells.of(order), self._cells.of(starts)
        ids = self.ground.ids
        names = [0] * len(ids)
        for place, node in enumerate(sorted(range(len(ids)), key=ids.__getitem__)):
            names[node] = place
        self._names = self._cells.of(names)
