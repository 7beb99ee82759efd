"""Job ids for shell completion, if the server answers at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from click.shell_completion import CompletionItem

from compute_platform import resolve
from compute_platform.errors import ClientError

if TYPE_CHECKING:
    from compute_platform.session import Session
    from compute_platform.shapes import Job

ANSWER_SECONDS = 1.0


def jobs(session: Session, incomplete: str) -> list[CompletionItem]:
    """Ids (in short, or in full once `job-` is typed) and names of recent jobs that begin so."""
    session.patience = 0.0
    items: list[CompletionItem] = []
    try:
        client = session.client
        client.transport.timeout = ANSWER_SECONDS
        found = cast("list[Job]", client.jobs(limit=100)["items"])
    except (ClientError, OSError):
        return []
    for job in found:
        words = [job["id"] if incomplete.startswith("job-") else resolve.short(job["id"])]
        about = f"{job['name']}, {job['phase']}"
        fitting = (word for word in (*words, job["name"]) if word.startswith(incomplete))
        items.extend(CompletionItem(word, help=about) for word in fitting)
    return items
