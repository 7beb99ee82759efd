"""How Hypothesis runs here: the same examples in CI, fresh ones at a desk, never a stored one."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# A machine shared with others may stand still for seconds: neither a deadline nor slow drawing
# of examples says anything about the code.
_CALM = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", _CALM, derandomize=True)
settings.register_profile("desk", _CALM)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "desk"))
