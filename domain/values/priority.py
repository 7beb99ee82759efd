"""Priority: 0 to 1000, the higher first."""

from __future__ import annotations

MAX_PRIORITY = 1000
