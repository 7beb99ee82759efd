"""Job files: JSON or YAML, one job or several, in the API's own schema."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute_platform.errors import Misused

if TYPE_CHECKING:
    from compute_platform.shapes import JsonObject


def read(place: str) -> list[JsonObject]:
    """The jobs a file (`-`: standard input) describes. Misused with line and column if none.

    A document is a job, a list of jobs, or `{"jobs": [...]}`; YAML may hold several documents.
    """
    jobs: list[JsonObject] = []
    for document in documents(place):
        jobs.extend(_jobs(place, document))
    if not jobs:
        raise Misused(f"{place}: there is no job in it.")
    return jobs


def documents(place: str) -> list[Any]:
    """The documents of a JSON or YAML file. Misused if it cannot be read."""
    try:
        text = sys.stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"The file cannot be read: {error}") from None
    try:
        return [json.loads(text)]
    except ValueError as error:
        if place.endswith(".json"):
            raise Misused(f"{place}: not JSON: {error}") from None
        return _yaml(place, text, str(error))


def _yaml(place: str, text: str, why_not_json: str) -> list[Any]:
    try:
        import yaml
    except ImportError:
        raise Misused(
            f"{place}: not JSON ({why_not_json}), and YAML cannot be read here.",
            "Install PyYAML (`pip install pyyaml`), or write the file in JSON.",
        ) from None
    try:
        found = [document for document in yaml.safe_load_all(text) if document is not None]
        json.dumps(found)  # what YAML can say and JSON cannot, such as dates
    except yaml.YAMLError as error:
        raise Misused(f"{place}: not YAML: {' '.join(str(error).split())}") from None
    except (TypeError, ValueError) as error:
        raise Misused(f"{place}: {error}", "Put dates and the like in quotes.") from None
    return found


def _jobs(place: str, document: Any) -> list[JsonObject]:
    if isinstance(document, dict) and set(document) == {"jobs"}:
        document = document["jobs"]
    found = document if isinstance(document, list) else [document]
    for job in found:
        if not isinstance(job, dict):
            raise Misused(
                f"{place}: a job is a mapping of fields, and this is none: {job!r:.60}",
                "At least: name, project_id, command.",
            )
    return found
