"""Checkpoint: which are recorded, and from which a rank goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from domain.checkpoint import checkpoint as checkpoints
from domain.checkpoint import events as e
from domain.checkpoint.checkpoint import Checkpoints
from domain.checkpoint.events import CheckpointCause, Manifest
from domain.errors import Invalid, StaleWriter
from tests.domain import examples as x
from tests.scenario import Scenario

given = Scenario(checkpoints.evolve, Checkpoints(x.JOB)).given
FIRST = Manifest(0, "a" * 64, 2, 4096, 4096)
SECOND = Manifest(0, "b" * 64, 2, 4096, 100)
OTHER_RANK = Manifest(1, "a" * 64, 2, 4096, 0)
INTERVAL = CheckpointCause.INTERVAL


def committed(number: int, manifest: Manifest, attempt: int = 1) -> e.Committed:
    """Checkpoint `number` is complete."""
    return e.Committed(x.JOB, attempt, number, INTERVAL, manifest)


def test_checkpoints_are_numbered_over_attempts_and_ranks() -> None:
    given().when(checkpoints.commit, 1, INTERVAL, FIRST).then(committed(1, FIRST))
    before = given(committed(1, FIRST))
    before.when(checkpoints.commit, 1, INTERVAL, OTHER_RANK).then(committed(2, OTHER_RANK))
    after = before.when(checkpoints.commit, 2, INTERVAL, SECOND).then(committed(2, SECOND, 2))
    assert after.of_rank(0) == SECOND
    assert after.of_rank(1) is None


def test_the_same_files_again_are_no_new_checkpoint() -> None:
    before = given(committed(1, FIRST))
    before.when(checkpoints.commit, 1, CheckpointCause.EXIT, FIRST).then()
    given(committed(1, FIRST), committed(2, SECOND)).when(
        checkpoints.commit, 1, INTERVAL, FIRST
    ).then(committed(3, FIRST))


def test_an_attempt_that_a_later_one_followed_cannot_save() -> None:
    given(committed(1, FIRST, attempt=2)).when(checkpoints.commit, 1, INTERVAL, SECOND).refused(
        StaleWriter, "stale_attempt"
    )


@pytest.mark.parametrize(
    "change", [{"digest": "abc"}, {"files": -1}, {"bytes": -1}, {"new_bytes": -1}]
)
def test_a_manifest_is_a_digest_and_counts(change: dict[str, Any]) -> None:
    given().when(checkpoints.commit, 1, INTERVAL, replace(FIRST, **change)).refused(
        Invalid, "bad_manifest", field="manifest"
    )


def test_a_restore_is_recorded_once_for_each_attempt_and_rank() -> None:
    restored = e.Restored(x.JOB, 2, 0, FIRST.digest)
    given().when(checkpoints.restored, 2, 0, FIRST.digest).then(restored)
    given(restored).when(checkpoints.restored, 2, 0, FIRST.digest).then()
    again = e.Restored(x.JOB, 3, 0, FIRST.digest)
    given(restored).when(checkpoints.restored, 3, 0, FIRST.digest).then(again)
