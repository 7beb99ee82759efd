"""Named places where a test may have this agent killed (docs/reliability.md).

Nothing happens unless COMPUTE_FAILPOINT names the place, which no installation does.
"""

from __future__ import annotations

import os
import signal

_ARMED = os.environ.get("COMPUTE_FAILPOINT", "")


def failpoint(name: str) -> None:
    """kill -9 of this process, if the environment asks for it at this place."""
    if name == _ARMED:
        os.kill(os.getpid(), signal.SIGKILL)
