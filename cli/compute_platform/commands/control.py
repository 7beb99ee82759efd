"""`compute cancel`, `suspend`, `resume`, `requeue`, `migrate`, `priority`: commands on jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from compute_platform.session import JobName, Session, api_command, job_argument, say, write_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from compute_platform.shapes import JsonObject

jobs_argument = click.argument("jobs", nargs=-1, required=True, type=JobName())


@click.command()
@api_command
@jobs_argument
def cancel(session: Session, as_json: bool, jobs: tuple[str, ...]) -> None:
    """Stop jobs for good.

    What runs gets its grace time to end by itself.
    """
    _each(session, as_json, jobs, "cancel")


@click.command()
@api_command
@jobs_argument
def suspend(session: Session, as_json: bool, jobs: tuple[str, ...]) -> None:
    """Stop jobs for now, saving their work.

    They stay until `compute resume`.
    """
    _each(session, as_json, jobs, "suspend")


@click.command()
@api_command
@jobs_argument
def resume(session: Session, as_json: bool, jobs: tuple[str, ...]) -> None:
    """Let suspended or held jobs go on.

    They queue again, and go on from their last checkpoint.
    """
    _each(session, as_json, jobs, "resume")


@click.command()
@api_command
@jobs_argument
def requeue(session: Session, as_json: bool, jobs: tuple[str, ...]) -> None:
    """Put jobs back into the queue.

    Those that run are stopped first, those that ended without success run again.
    """
    _each(session, as_json, jobs, "requeue")


@click.command()
@api_command
@click.option("--to", metavar="NODE", help="The node to move to; else any but those they run on.")
@click.option("--withdraw", is_flag=True, help="Let jobs stay that still wait for room elsewhere.")
@jobs_argument
def migrate(
    session: Session, as_json: bool, jobs: tuple[str, ...], to: str | None, withdraw: bool
) -> None:
    """Move running jobs to other nodes, saving their work.

    They run on until there is room for all of a job elsewhere; that is kept for it while it saves and leaves. `compute why` says why there is none yet.
    """
    if withdraw:
        if to is not None:
            raise click.UsageError("--withdraw takes a move back: leave --to out")
        _each(session, as_json, jobs, "migrate", session.client.stay, "stays where it is")
        return
    where = "elsewhere" if to is None else f"to {to}"
    _each(
        session,
        as_json,
        jobs,
        "migrate",
        lambda job: session.client.migrate(job, to),
        f"moves {where} once there is room",
    )


@click.command()
@api_command
@job_argument
@click.argument("value", type=int)
def priority(session: Session, as_json: bool, job: str, value: int) -> None:
    """Change a job's priority.

    Higher goes first.
    """
    job_id = session.job(job)
    answer = session.client.set_priority(job_id, value)
    _print(answer, as_json, job_id, f"priority {value}")


def _each(
    session: Session,
    as_json: bool,
    jobs: tuple[str, ...],
    command: str,
    tell: Callable[[str], JsonObject] | None = None,
    text: str = "",
) -> None:
    # All names are looked up first: a misspelt one must not leave the command half done.
    found = list(dict.fromkeys(session.job(job) for job in jobs))
    for job_id in found:
        answer = session.client.control(job_id, command) if tell is None else tell(job_id)
        _print(answer, as_json, job_id, text or f"{command}: now {answer.get('phase', 'accepted')}")


def _print(answer: JsonObject, as_json: bool, job_id: str, text: str) -> None:
    if as_json:
        write_json(answer, one_line=True)
    else:
        click.echo(job_id)
        say(f"{job_id} {text}")
