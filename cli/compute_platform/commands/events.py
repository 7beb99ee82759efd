"""`compute events`: the log itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from compute_platform import amounts
from compute_platform.session import JobName, Session, api_command, say, write_json

if TYPE_CHECKING:
    from compute_platform.shapes import JsonObject


@click.command()
@api_command
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens next.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="From this position on.")
@click.option("-n", "--limit", default=100, show_default=True, help="At most; 0 for all.")
@click.option("--job", type=JobName(), help="Only of this job.")
def events(
    session: Session, as_json: bool, follow: bool, after: int, limit: int, job: str | None
) -> None:
    """Show what happened, in log order.

    With --follow and --json each line is an object.
    """
    client = session.client
    job_id = None if job is None else session.job(job)
    if follow:
        for event in _of(client.follow_events(after), job_id):
            _print(event, as_json)
        return
    if job_id is None:
        page = client.events(after, limit or None)
    else:
        page = client.pages(f"/jobs/{job_id}/events", {}, limit or None)
    if as_json:
        write_json(page)
        return
    for event in page["items"]:
        _print(event, as_json)
    if page.get("next_cursor"):
        say(f"the first {len(page['items'])}; --after and --limit show more")


def _of(found: Iterable[JsonObject], job_id: str | None) -> Iterable[JsonObject]:
    if job_id is None:
        return found
    return (event for event in found if event.get("stream") == f"job/{job_id}")


def _print(event: JsonObject, as_json: bool) -> None:
    if as_json:
        write_json(event, one_line=True)
        return
    import json

    data = event.get("data")
    text = event.get("text") or json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    when = amounts.clock(event.get("recorded_at") or event.get("at"))
    click.echo(
        f"{event.get('position', ''):>8}  {when}  {event.get('name', ''):<32}"
        f"  {event.get('stream', '')}  {text}"
    )
