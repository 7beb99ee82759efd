"""Where a job may run, as it is asked for and answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr

from domain.job.constraint import MAX_LENGTH
from domain.job.where import MAX_TERMS, Affinity, Scope, Where

Label = Annotated[StrictStr, Field(min_length=1, max_length=63)]
Value = Annotated[StrictStr, Field(max_length=256)]
Names = Annotated[list[Label], Field(max_length=MAX_TERMS)]


class AffinityBody(BaseModel):
    """Near jobs of the same project with this label, or away from them; a condition or a wish."""

    model_config = ConfigDict(extra="forbid")
    label: Label
    value: Value
    scope: Scope = Scope.NODE
    avoid: StrictBool = False
    required: StrictBool = True


class WhereBody(BaseModel):
    """Conditions on nodes, and wishes."""

    model_config = ConfigDict(extra="forbid")
    pools: Names = []
    selector: Annotated[dict[Label, Value], Field(max_length=MAX_TERMS)] = {}
    constraint: Annotated[
        StrictStr,
        Field(max_length=MAX_LENGTH, description="such as gpus >= 8 and labels.zone == 'a'"),
    ] = ""
    tolerations: Names = []
    affinity: Annotated[list[AffinityBody], Field(max_length=MAX_TERMS)] = []
    together: Scope | None = None
    together_required: StrictBool = False
    exclusive: StrictBool = False

    def value(self) -> Where:
        """The conditions as the domain knows them; Invalid names what is wrong."""
        return Where(
            pools=tuple(self.pools),
            selector=tuple(sorted(self.selector.items())),
            constraint=self.constraint,
            tolerations=tuple(self.tolerations),
            affinity=tuple(
                Affinity((a.label, a.value), a.scope, a.avoid, a.required) for a in self.affinity
            ),
            together=self.together,
            together_required=self.together_required,
            exclusive=self.exclusive,
        )


def where(found: Where) -> WhereBody:
    """The conditions as answered."""
    return WhereBody(
        pools=list(found.pools),
        selector=dict(found.selector),
        constraint=found.constraint,
        tolerations=list(found.tolerations),
        affinity=[
            AffinityBody(
                label=a.label[0],
                value=a.label[1],
                scope=a.scope,
                avoid=a.avoid,
                required=a.required,
            )
            for a in found.affinity
        ],
        together=found.together,
        together_required=found.together_required,
        exclusive=found.exclusive,
    )
