"""Grace: how long a job may take to save and leave."""

from __future__ import annotations

from domain.job.job import Job
from domain.scheduling.snapshot import Snapshot


def grace_of(job: Job, snapshot: Snapshot) -> int:
    """Seconds the job gets to save and leave: its own wish, else the policy's."""
    wish = job.spec.grace_seconds
    return snapshot.policy.scheduler.grace_seconds if wish is None else wish
