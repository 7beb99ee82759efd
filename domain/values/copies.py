"""Copies of frozen states: what folding a long log spends its time on."""

from __future__ import annotations

from typing import Any, TypeVar

State = TypeVar("State")


def replace(state: State, **changes: Any) -> State:
    """The state with other values in some fields: `dataclasses.replace`, several times faster.

    For dataclasses without slots and without checks of their own: none are run.
    """
    fields = state.__dict__
    assert changes.keys() <= fields.keys(), "fields of the state"
    copy = object.__new__(type(state))
    copy.__dict__.update(fields)
    copy.__dict__.update(changes)
    return copy
