"""`python -m tests.golden VERSION`: record the histories of today's code beside those there are."""

from __future__ import annotations

import sys

from tests.golden.histories import record

record(sys.argv[1])
