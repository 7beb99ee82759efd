"""What ends the processes for good, and not only one of them."""

from __future__ import annotations


class TamperAlarm(Exception):
    """The log does not agree with what was signed about it: people must look."""
