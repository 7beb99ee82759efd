"""Given these events, when this command, then those events: aggregates in plain words.

given = Scenario(jobs.evolve).given
given(SUBMITTED, QUEUED).when(jobs.cancel, deadline=5).then(Cancelled())
given(SUBMITTED, QUEUED).when(jobs.start, 1, 5).refused(Conflict, "stale_attempt")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec

from domain.errors import Refusal
from domain.event import Event, fold

P = ParamSpec("P")
Evolve = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Scenario:
    """One kind of aggregate: how events change it, and its state before the first."""

    evolve: Evolve
    initial: Any = None

    def given(self, *events: Event) -> Given:
        """An aggregate to which these happened."""
        return Given(self.evolve, fold(self.evolve, events, self.initial))


@dataclass(frozen=True)
class Given:
    """An aggregate about to get a command."""

    evolve: Evolve
    state: Any

    def when(
        self,
        command: Callable[Concatenate[Any, P], Sequence[Event]],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> When:
        """The command is given the state and these arguments."""
        try:
            events = list(command(self.state, *arguments, **named))
        except Refusal as refusal:
            return When(self, [], refusal)
        return When(self, events, None)


@dataclass(frozen=True)
class When:
    """What a command answered: events, or a refusal."""

    before: Given
    events: list[Event]
    refusal: Refusal | None

    def then(self, *events: Event) -> Any:
        """Exactly these events happened; returns the state after them."""
        if self.refusal is not None:
            raise self.refusal
        assert self.events == list(events)
        return fold(self.before.evolve, events, self.before.state)

    def refused(self, kind: type[Refusal], code: str, **facts: object) -> None:
        """The command was refused in this way, with at least these facts."""
        assert self.refusal is not None, f"not refused: {self.events}"
        assert (type(self.refusal), self.refusal.code) == (kind, code)
        assert {name: self.refusal.facts.get(name) for name in facts} == facts
