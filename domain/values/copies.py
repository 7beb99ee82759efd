"""Copies of frozen states: what folding a long log spends its time on."""

from __future__ import annotations

from typing import Any, TypeVar

State = TypeVar("State")


def replace(state: State, **changes: Any) -> State:
    """The state with other values in some fields: `dataclasses.replace`, several times faster.

    For dataclasses without slots and without checks of their own: none are run.
    """
    fields = {**state.__dict__, **changes}
    assert len(fields) == len(state.__dict__), "fields of the state"
    copy = object.__new__(type(state))
    object.__setattr__(copy, "__dict__", fields)
    return copy
