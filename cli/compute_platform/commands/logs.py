"""`compute logs`: a job's output."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import click

from compute_platform.errors import Misused
from compute_platform.session import Session, api_command, job_argument, write, write_json

if TYPE_CHECKING:
    from compute_platform.client import Client


@click.command()
@api_command
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="From this byte on.")
@click.option("--tail", type=click.IntRange(min=0), help="Only so many last lines, then on.")
@click.option("--rank", type=click.IntRange(min=0), default=0, help="Which replica's.")
def logs(
    session: Session,
    as_json: bool,
    job: str,
    follow: bool,
    offset: int,
    tail: int | None,
    rank: int,
) -> None:
    """Print a job's output.

    Exactly its bytes, of all attempts; it goes on by itself after a broken connection. With
    --json each line is an object with `data` (base64) and `offset` (after it).
    """
    if tail is not None and offset:
        raise Misused("Give --tail or --offset, not both.")
    client, job_id = session.client, session.job(job)
    if tail is not None:
        offset = _start_of_tail(client, job_id, rank, tail)
    for data in client.logs(job_id, follow=follow, offset=offset, rank=rank):
        offset += len(data)
        if as_json:
            document = {"offset": offset, "data": base64.b64encode(data).decode()}
            write_json(document, one_line=True)
        else:
            write(data)


def _start_of_tail(client: Client, job_id: str, rank: int, lines: int) -> int:
    """Where the last `lines` lines start; a last line may lack its end."""
    starts, end, fresh = [], 0, True
    for data in client.logs(job_id, rank=rank):
        at = 0
        while at < len(data):
            if fresh:
                starts.append(end + at)
                del starts[: max(0, len(starts) - lines)]
            newline = data.find(b"\n", at)
            fresh = newline >= 0
            at = newline + 1 if fresh else len(data)
        end += len(data)
    return starts[0] if starts and lines else end
