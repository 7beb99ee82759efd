"""`compute submit`: jobs from files."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import click

from compute_platform.session import Session, api_command, say, write_json

if TYPE_CHECKING:
    from compute_platform.shapes import Job


@click.command()
@api_command
@click.option("-f", "--file", "place", required=True, help="JSON or YAML; - is standard input.")
@click.option("--project", help="The project of jobs that name none; default: COMPUTE_PROJECT.")
@click.option("--idempotency-key", "key", help="The same key and file are the same jobs.")
def submit(
    session: Session, as_json: bool, place: str, project: str | None, key: str | None
) -> None:
    """Submit jobs that a file describes.

    The file has the API's schema: a job, a list of jobs, or several YAML documents. Several jobs
    are accepted all or none. Prints their ids.
    """
    from compute_platform import jobfile
    from compute_platform.commands.run import default_project

    specs = jobfile.read(place)
    if project is not None or not all("project_id" in spec for spec in specs):
        chosen = project or default_project(session)
        specs = [{"project_id": chosen, **spec} for spec in specs]
    key = key or str(uuid4())
    jobs: list[Job]
    if len(specs) == 1:
        jobs = [session.client.submit(specs[0], key)]
        if as_json:
            write_json(jobs[0])
    else:
        jobs = session.client.submit_all(specs, key)
        if as_json:
            write_json({"items": jobs})
    if as_json:
        return
    for job in jobs:
        click.echo(job["id"])
    some = f"{len(jobs)} jobs" if len(jobs) > 1 else str(jobs[0].get("name", "the job"))
    say(f"submitted {some}; `compute ps` lists them, `compute logs -f JOB` follows one")
