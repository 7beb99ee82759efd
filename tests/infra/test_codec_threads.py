"""Events and rows are read in many threads from the first moment on."""

from __future__ import annotations

import subprocess
import sys

UNREAD = """
import infra.codec
early = {*infra.codec._wholes}
import api.__main__, processors.__main__
from domain.event import events
from projections.catalogue import VIEWS
print(*sorted({*events()} - early), *(view.name for view in VIEWS if "_decoder" not in vars(view)))
"""


def test_all_can_be_read_before_there_are_threads() -> None:
    """While msgspec learns a type in one thread, to use it in another can crash the process."""
    done = subprocess.run(
        [sys.executable, "-c", UNREAD], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == []
