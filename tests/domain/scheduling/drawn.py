"""Jobs drawn at random for walks of many steps."""

from __future__ import annotations

import random
from collections.abc import Sequence

from domain.job.spec import JobSpec
from domain.values.ids import ProjectId
from domain.values.resources import Resources


def job(
    draw: random.Random,
    name: str,
    resources: Resources,
    priority: int,
    estimates: Sequence[int | None],
) -> JobSpec:
    """At times a gang, at times elastic, of one of two projects, on GPUs of some or any model."""
    replicas = draw.choice((1, 1, 1, 2, 4, 12))
    models = draw.choice(((), (), ("H100",), ("A100", "H100")))
    return JobSpec(
        name,
        ProjectId(draw.choice(("ml", "bio"))),
        ("true",),
        resources=resources,
        gpu_types=models if resources.gpu_milli else (),
        replicas=replicas,
        min_replicas=draw.choice((None, 1)) if replicas > 1 else None,
        priority=priority,
        estimate_seconds=draw.choice(estimates),
    )
