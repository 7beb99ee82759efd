"""Where a job may run, and where it would rather run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Invalid
from domain.job.constraint import parse

MAX_TERMS = 32


class Scope(StrEnum):
    """How near: the same node, rack or spine."""

    NODE = "node"
    RACK = "rack"
    SPINE = "spine"


@dataclass(frozen=True)
class Affinity:
    """Near jobs of the same project that carry this label, or away from them (`avoid`).

    `required` is a condition; else it is a wish that only orders what is possible.
    """

    label: tuple[str, str]
    scope: Scope = Scope.NODE
    avoid: bool = False
    required: bool = True


@dataclass(frozen=True)
class Where:
    """Conditions on nodes and wishes about them; the default accepts every untainted node.

    `selector`: labels a node must have. `constraint`: an expression over node facts
    (domain/job/constraint.py). `tolerations`: taints that are accepted. `together`: all seats of a
    gang within one node, rack or spine; with `together_required` they wait for that, else they only
    prefer it. `exclusive`: no other job on its nodes while it runs.
    """

    pools: tuple[str, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    constraint: str = ""
    tolerations: tuple[str, ...] = ()
    affinity: tuple[Affinity, ...] = ()
    together: Scope | None = None
    together_required: bool = False
    exclusive: bool = False

    def __post_init__(self) -> None:
        for field in ("pools", "selector", "tolerations", "affinity"):
            if len(getattr(self, field)) > MAX_TERMS:
                raise Invalid("too_large", f"where.{field}: at most {MAX_TERMS}", field=field)
        if self.constraint:
            parse(self.constraint)
        if self.together_required and self.together is None:
            raise Invalid(
                "together_what",
                "where.together: say node, rack or spine for all seats to share",
                field="where.together",
            )


ANYWHERE = Where()
