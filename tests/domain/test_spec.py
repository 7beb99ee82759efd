"""JobSpec: every field that can be wrong is refused by its name."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import Invalid
from domain.job.spec import Checkpointing, Retry
from domain.values.resources import Resources
from tests.domain import examples as x


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"priority": -1}, "out_of_range", "priority"),
        ({"priority": 1001}, "out_of_range", "priority"),
        ({"replicas": 0}, "out_of_range", "replicas"),
        ({"replicas": 4097}, "out_of_range", "replicas"),
        ({"retry": Retry(-1)}, "out_of_range", "retry.max_retries"),
        ({"retry": Retry(101)}, "out_of_range", "retry.max_retries"),
        ({"retry": Retry(1, -1)}, "out_of_range", "retry.backoff_seconds"),
        ({"retry": Retry(1, 1, 86_401)}, "out_of_range", "retry.max_backoff_seconds"),
        (
            {"checkpointing": Checkpointing(True, 0)},
            "out_of_range",
            "checkpointing.interval_seconds",
        ),
        ({"time_limit_seconds": 0}, "out_of_range", "time_limit_seconds"),
        ({"grace_seconds": -1}, "out_of_range", "grace_seconds"),
        ({"grace_seconds": 86_401}, "out_of_range", "grace_seconds"),
        ({"command": ()}, "no_command", "command"),
        ({"command": ("",)}, "no_command", "command"),
        ({"command": ("x" * (128 * 1024 + 1),)}, "too_large", "command"),
        ({"command": ("ä" * (64 * 1024 + 1),)}, "too_large", "command"),
        ({"command": ("a\0b",)}, "bad_text", "command"),
        ({"env": (("A", "b\0"),)}, "bad_text", "command"),
        ({"env": (("A", ""),) * 257}, "too_large", "env"),
        ({"resources": Resources(gpu_milli=1500)}, "fractional_gpu", "resources.gpu"),
        ({"gpu_types": ("A100",)}, "gpu_type_without_gpu", "resources.gpu_type"),
        (
            {"resources": Resources(memory_bytes=2**50 + 1)},
            "out_of_range",
            "resources.memory_bytes",
        ),
        (
            {"resources": Resources(cpu_milli=2**50 + 1)},
            "out_of_range",
            "resources.cpu_milli",
        ),
    ],
)
def test_a_job_that_makes_no_sense_is_refused_by_field(
    change: dict[str, Any], code: str, field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        x.spec(**change)
    assert (refused.value.code, refused.value.facts["field"]) == (code, field)


@pytest.mark.parametrize(
    "change",
    [
        {"priority": 0, "replicas": 1},
        {"priority": 1000, "replicas": 4096},
        {"command": ("x" * 128 * 1024,)},
        {"env": (("A", ""),) * 256},
        {"grace_seconds": 0, "time_limit_seconds": 1},
        {"resources": Resources(memory_bytes=2**50)},
        {"resources": Resources(gpu_milli=8000), "gpu_types": ("A100", "H100")},
    ],
)
def test_the_limits_themselves_are_accepted(change: dict[str, Any]) -> None:
    x.spec(**change)


def test_the_total_is_that_of_all_seats() -> None:
    gang = x.spec(resources=Resources(1500, 7, 2000), replicas=3)
    assert gang.total == Resources(4500, 21, 6000)
