"""Real parts a test needs: skipped with a reason where missing, a failure where required."""

from __future__ import annotations

import os

import pytest

REQUIRED = "COMPUTE_REQUIRE_REAL_PARTS"
"""Set to 1 (as .ci/run does) to make a missing real part fail its tests."""


def need(available: bool, reason: str) -> None:
    """Go on if the part is available; else skip, or fail where real parts are required."""
    if available:
        return
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, but {reason}")
    pytest.skip(reason)
