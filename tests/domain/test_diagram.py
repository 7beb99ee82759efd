"""docs/job-states.md says what the transition table says (run as a program, this writes it)."""

from __future__ import annotations

from pathlib import Path

from domain.job.diagram import page

PAGE = Path(__file__).parents[2] / "docs" / "job-states.md"


def test_the_page_is_generated_from_the_table() -> None:
    assert PAGE.read_text() == page(), "write it: python -m tests.domain.test_diagram"


if __name__ == "__main__":
    PAGE.write_text(page())
