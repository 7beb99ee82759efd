"""Faults of the database and of its readers, and of a machine's parts."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from domain.values.time import MILLISECOND, SECOND
from infra.leases import MARGIN_MS
from tests.simulation.cell import TTL_MS

if TYPE_CHECKING:
    from tests.simulation.streaming import Streaming
    from tests.simulation.world import World

HOLD = (TTL_MS + MARGIN_MS) * MILLISECOND


def span(random: Random, most_ms: int) -> int:
    """A time up to that."""
    return random.randrange(100, most_ms) * MILLISECOND


def away(world: World, random: Random) -> None:
    """The database does not answer for a while."""
    length = span(random, 15_000)
    world.trace.note(f"the database is away for {length / 1e6:.1f} s")
    _down(world, length)


def _down(world: World, length: int) -> None:
    world.trouble.down_until = max(world.trouble.down_until, world.loop.now + length)
    world.cell.look_again()


def slow(world: World, random: Random) -> None:
    """Every commit takes long for a while."""
    length = span(random, 10_000)
    world.trace.note(f"the database's disk is slow for {length / 1e6:.1f} s")
    world.trouble.slow_until = world.loop.now + length


def poison(world: World, random: Random) -> None:
    """The next event recorded cannot be read, until the code is mended."""
    length = span(random, 8_000)
    world.trace.note(f"what is recorded next is unreadable for {length / 1e6:.1f} s")
    world.log.poison_next = True
    world.loop.after(length, lambda: mend(world))


def mend(world: World) -> None:
    """Every event can be read."""
    world.log.poison_next = False
    world.ward.asked |= bool(world.log.unreadable)
    world.log.unreadable.clear()


def clock_steps(world: World, random: Random, step_ms: int | None = None) -> None:
    """The clock of the database is set, back or ahead; whoever sets it ahead mends the network."""
    some = (-30_000, -1000, MARGIN_MS // 2, 10_000, 60_000)
    step = (random.choice(some) if step_ms is None else step_ms) * MILLISECOND
    world.trace.note(f"the database's clock steps by {step / 1e6:.1f} s")
    world.loop.seen["the clock steps"] += 1
    world.clock_step += step
    busy = [name for name, machine in sorted(world.machines.items()) if machine.processes]
    if step > 0 and busy and random.random() < 0.8:
        cut_off(world, random.choice(busy), world.loop.now + 5 * SECOND + span(random, 15_000))


def cut_off(world: World, node: str, until: int) -> None:
    """Nothing passes between a node and the cell until then."""
    world.trace.note(f"is cut off both ways until {until / 1e6:.1f}", node=node)
    world.network.block(node, "cell", until)
    world.network.block("cell", node, until)


def projector_stalls(world: World, length: int) -> None:
    """Read models stay as they are for a while."""
    world.trace.note(f"the projector stands still for {length / 1e6:.1f} s")
    world.projector_until = world.loop.now + length


def fail_over_in_step(world: World, random: Random) -> None:
    """Synchronous profile: from the standby's loss on nothing is acknowledged; nothing is lost."""
    if world.failing:
        return
    world.failing, length = True, span(random, 8_000)
    world.trace.note(f"the primary dies; a standby in step answers in {length / 1e6:.1f} s")
    _down(world, length)
    world.loop.after(length, lambda: _promote(world, random, None))


def fail_over_behind(world: World, random: Random) -> None:
    """Asynchronous profile: what the standby did not get yet is lost, acknowledged or not."""
    if world.failing:
        return
    behind, length = span(random, 10_000), span(random, 8_000)
    if random.random() < 0.4:  # what takes the primary often takes a part of the network too
        node = random.choice(sorted(world.machines))
        world.network.block(node, "cell", world.loop.now + behind + span(random, 30_000))
    if random.random() < 0.4:  # nor is what is about to die quick
        world.projector_until = max(world.projector_until, world.loop.now + behind)
    if world.streaming is not None:
        if random.random() < 0.4:  # a relay outlasts it all, and the next has just begun
            over = behind + length + HOLD + span(random, 5000)
            world.streaming.rough.stalls += [over, behind + span(random, 15_000)]
        elif random.random() < 0.6:  # or it is so quick that nobody notices
            length = span(random, 400)
    world.loop.after(behind, _falling_behind(world, random, length))


def fall_behind(world: World, random: Random) -> Callable[[], None]:
    """A standby gets nothing from now on; what is returned lets the primary die, once."""
    return _falling_behind(world, random, span(random, random.choice((400, 3000))))


def _falling_behind(world: World, random: Random, length: int) -> Callable[[], None]:
    world.failing = True
    standby = _copy(world)
    alive = [True]

    def die() -> None:
        if world.faults.over or not alive:
            return
        alive.clear()
        world.trace.note(f"the primary dies; a standby behind it answers in {length / 1e6:.1f} s")
        _down(world, length)
        world.loop.after(length, lambda: _promote(world, random, standby))

    return die


def _copy(world: World) -> tuple[object, ...]:
    """What a standby has that got everything so far."""
    return (world.log.copy(), world.views.copy(), world.leases.copy(), world.checker.copy())


def _promote(world: World, random: Random, standby: tuple[object, ...] | None) -> None:
    """What the operator does: `infra.failover`; leaders may go on and not know."""
    world.failing = False
    if world.faults.over:
        return
    log, views, leases, truth = _copy(world) if standby is None else standby
    known, acknowledged = world.log.head(), world.users.acknowledged()
    lost = world.log.fail_over(log)  # type: ignore[arg-type]  # a copy of each, in order
    world.loop.after(HOLD, partial(world.log.release, world.log.failovers))
    world.views.fail_over(views)  # type: ignore[arg-type]
    world.leases.rows = leases  # type: ignore[assignment]
    world.checker.fail_over(truth)  # type: ignore[arg-type]
    told = known - world.log.head()
    gone = acknowledged - world.users.acknowledged()
    world.trace.note(f"failed over: {len(lost)} events and {len(gone)} jobs are lost")
    if (told == 0) != (not lost) or told < len(lost) or (gone and not told):
        world.checker.fail("P7", f"{len(lost)} events are lost, {told} were told")
    world.loop.seen["a failover"] += 1
    world.loop.seen["a failover that lost events"] += bool(lost)
    world.loop.seen["a failover that lost a job that was acknowledged"] += bool(gone)
    if lost and world.streaming is not None and random.random() < 0.5:
        world.streaming.delete_soon(random)  # else when somebody refuses it
    for leader in world.leaders:
        if random.random() < 0.5:
            leader.lose_session()
        else:
            leader.crash("by the failover", span(random, 3000))


def flap(world: World, random: Random, node: str) -> None:
    """A node's link goes and comes every two seconds, in one direction or both."""
    way, times = (
        random.choice(("both ways", "to the cell", "from the cell")),
        random.randrange(3, 9),
    )
    world.trace.note(f"its link flaps {way}, {times} times", node=node)

    def cut(left: int) -> None:
        if left == 0 or world.faults.over:
            return
        world.loop.seen["a link flaps"] += 1
        until = world.loop.now + 2 * SECOND
        if way != "from the cell":
            world.network.block(node, "cell", until)
        if way != "to the cell":
            world.network.block("cell", node, until)
        world.loop.after(4 * SECOND, lambda: cut(left - 1))

    cut(times)


def gpu_breaks(world: World, random: Random, node: str) -> None:
    """A GPU fails; the agent is started again and offers what is left; later it is mended."""
    machine = world.machines[node]
    if not machine.up or machine.broken:
        return
    machine.break_gpu(random.randrange(4))
    world.kill_agent(node, span(random, 3000))

    def mended() -> None:
        machine.broken.clear()
        world.kill_agent(node, MILLISECOND)

    world.loop.after(span(random, 60_000), mended)


def kafka_away(world: World, random: Random) -> None:
    """The brokers do not answer for a while."""
    length = span(random, 30_000)
    _streaming(world).rough.away_until = world.loop.now + length
    world.trace.note(f"the brokers are away for {length / 1e6:.1f} s")


def relay_stalls(world: World, random: Random) -> None:
    """The next relay that has something to publish stands still."""
    _streaming(world).rough.stalls.append(span(random, 60_000))


def topic_lost(world: World, random: Random) -> None:
    """The brokers' disks are lost."""
    kafka_away(world, random)
    _streaming(world).lose("the topic is lost")


def topic_cut(world: World, random: Random) -> None:
    """A broker leads that had not got the last records."""
    streaming = _streaming(world)
    if end := len(streaming.records):
        streaming.lose("the topic's end is lost", random.randrange(max(0, end - 30), end))


def offset_jumps(world: World, random: Random) -> None:
    """Somebody sets a reader's offset to the first or to the last."""
    readers, latest = _streaming(world).readers, random.random() < 0.7
    if readers and readers[random.choice(sorted(readers))].jump(latest):
        to = "latest" if latest else "earliest"
        world.trace.note(f"a reader's offset is set to the {to}")
        world.loop.seen[f"kafka: an offset set to the {to}"] += 1


def _streaming(world: World) -> Streaming:
    assert world.streaming is not None, "the faults of Kafka are of worlds that have it"
    return world.streaming
