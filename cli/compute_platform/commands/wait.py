"""`compute wait`: until a job has come so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compute_platform import amounts, exits
from compute_platform.exits import ENDED
from compute_platform.session import Session, api_command, job_argument, say, write_json

if TYPE_CHECKING:
    from compute_platform.shapes import Job

PHASES = (
    "succeeded", "ended", "running", "queued", "held", "blocked", "starting", "suspended",
    "failed", "cancelled", "timed_out",
)  # fmt: skip


@click.command()
@api_command
@job_argument
@click.option("--for", "goal", type=click.Choice(PHASES), default="succeeded", show_default=True)
@click.option("--timeout", metavar="TIME", help="Give up after: 90, 15m, 2h. Exit code 75.")
@click.option("-q", "--quiet", is_flag=True, help="Without progress.")
def wait(
    session: Session, as_json: bool, job: str, goal: str, timeout: str | None, quiet: bool
) -> None:
    """Wait for a job to end, or to come to a phase.

    Exit code 0 once it is there; a job that ends otherwise gives its own code, as `run` does.
    `--for=ended` is satisfied by any end, `--for=running` also by a job that has run.
    """
    from compute_platform.attend import Progress

    seconds = None if timeout is None else float(amounts.parse_duration(timeout))
    found = session.client.wait(
        session.job(job),
        lambda now: reached(now, goal),
        timeout=seconds,
        seen=None if quiet else Progress().seen,
    )
    if as_json:
        write_json(found)
    if not reached(found, goal):
        code = exits.of_job(found)
        say(f"the job never came to {goal}: it is {found['phase']}")
        click.get_current_context().exit(code or exits.OTHER_END)


def reached(job: Job, goal: str) -> bool:
    """Whether the job is where the wait was to lead."""
    if goal == "ended":
        return job["phase"] in ENDED
    if goal == "running":
        ran = job.get("started_at") is not None or job.get("exit_code") is not None
        return ran or job["phase"] in ("running", "succeeded", "timed_out")
    return job["phase"] == goal
