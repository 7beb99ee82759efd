"""Orders against what runs: given, then; and laws over everything that can be given."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agents.reconcile import (
    ORDERED,
    RETELL_US,
    Action,
    AskToStop,
    Forget,
    Kill,
    Local,
    Phase,
    ReportGone,
    Start,
    TellAgain,
    reconcile,
)
from agents.wire import Order, SeatKey
from domain.allocation.seat import Outcome

NOW, LEASE = 1_000_000, 2_000_000
KEY = SeatKey("alloc-1", 0)
RUNNING = Local(Phase.RUNNING)


def order(action: str = "run", *, started: bool = False, key: SeatKey = KEY) -> Order:
    return Order(key.allocation, "job-1", 1, key.rank, action, started)  # type: ignore[arg-type]  # a literal


def decide(
    orders: list[Order] | None,
    local: dict[SeatKey, Local],
    deadlines: dict[SeatKey, int] | None = None,
    now: int = NOW,
) -> list[Action]:
    listed = None if orders is None else {o.key: o for o in orders}
    return reconcile(listed, local, deadlines or {}, now, LEASE)


def test_a_new_order_is_started_once() -> None:
    assert decide([order()], {}) == [Start(order())]
    assert decide([order()], {KEY: Local(Phase.STARTING)}) == []
    assert decide([order(started=True)], {KEY: RUNNING}) == []


def test_after_a_failover_nothing_starts_and_what_runs_is_left_alone() -> None:
    assert decide([order("wait")], {}) == []
    assert decide([order("wait")], {KEY: RUNNING}) == []
    told = Local(Phase.RUNNING, told_us=NOW - RETELL_US)
    assert decide([order("wait")], {KEY: told}) == [TellAgain(KEY)]


def test_a_seat_the_cell_saw_started_and_nobody_knows_is_lost() -> None:
    [gone] = decide([order(started=True)], {})
    assert isinstance(gone, ReportGone)
    assert gone.outcome is Outcome.LOST


def test_a_stop_asks_then_kills_at_the_deadline() -> None:
    stop = order("stop", started=True)
    assert decide([stop], {KEY: RUNNING}, {KEY: NOW + 5}) == [AskToStop(KEY)]
    asked = Local(Phase.RUNNING, asked=True)
    assert decide([stop], {KEY: asked}, {KEY: NOW + 5}) == []
    [kill] = decide([stop], {KEY: asked}, {KEY: NOW})
    assert isinstance(kill, Kill)


def test_a_stop_for_what_never_started_is_answered() -> None:
    [gone] = decide([order("stop")], {})
    assert isinstance(gone, ReportGone)
    assert gone.outcome is Outcome.STOPPED


def test_an_orphan_is_killed_and_a_settled_end_forgotten() -> None:
    [kill] = decide([], {KEY: RUNNING})
    assert isinstance(kill, Kill)
    assert decide([], {KEY: Local(Phase.ENDED)}) == [], "its end was not answered yet"
    assert decide([], {KEY: Local(Phase.ENDED, reported=True)}) == [Forget(KEY)]


def test_without_orders_since_the_start_nothing_is_touched() -> None:
    assert decide(None, {KEY: RUNNING}) == []


keys = st.builds(SeatKey, st.sampled_from(["a", "b", "c"]), st.integers(0, 1))
locals_ = st.builds(
    Local, st.sampled_from(list(Phase)), st.booleans(), st.booleans(), st.booleans()
)
orders_ = st.lists(
    st.builds(
        lambda key, action, started: order(action, started=started, key=key),
        keys,
        st.sampled_from(["run", "wait", "stop", "kill"]),
        st.booleans(),
    ),
    max_size=6,
)


@given(orders_, st.dictionaries(keys, locals_, max_size=6), st.dictionaries(keys, st.integers()))
def test_one_action_a_seat_and_no_start_of_a_known_one(
    orders: list[Order], local: dict[SeatKey, Local], deadlines: dict[SeatKey, int]
) -> None:
    actions = decide(orders, local, deadlines)
    seats = [a.order.key if isinstance(a, Start) else a.key for a in actions]
    assert len(seats) == len(set(seats))
    assert not any(isinstance(a, Start) and a.order.key in local for a in actions)
    killed = {a.key for a in actions if isinstance(a, Kill)}
    listed = {o.key for o in orders}
    for key, seat in local.items():
        if key not in listed and seat.phase is not Phase.ENDED and not seat.killed:
            assert key in killed, "an orphan is killed"


@given(orders_, st.dictionaries(keys, locals_, max_size=6), st.integers(0, 10))
def test_after_the_lease_everything_is_killed_and_nothing_started(
    orders: list[Order], local: dict[SeatKey, Local], late: int
) -> None:
    actions = decide(orders, local, now=LEASE + late)
    assert all(isinstance(a, Kill) for a in actions)
    alive = {k for k, seat in local.items() if seat.phase is not Phase.ENDED and not seat.killed}
    assert {a.key for a in actions if isinstance(a, Kill)} == alive


def test_what_the_cell_does_not_know_long_after_it_was_told_is_told_again() -> None:
    """A failover of its database may have lost it."""

    def after(order: Order, seat: Local) -> list[Action]:
        return reconcile({KEY: order}, {KEY: seat}, {}, RETELL_US, 2 * RETELL_US)

    ended = Local(Phase.ENDED, reported=True)
    assert after(order(), ended) == [TellAgain(KEY)]
    assert after(order(), replace(ended, told_us=1)) == []
    assert after(order(), Local(Phase.ENDED)) == [], "it is being told"
    assert after(order(), RUNNING) == [TellAgain(KEY)]
    assert after(order(started=True), RUNNING) == []
    assert after(order("kill"), RUNNING) == [TellAgain(KEY), Kill(KEY, ORDERED)]
