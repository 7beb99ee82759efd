"""Fresh identifiers and secrets, for the edges of the system."""

from __future__ import annotations

import hashlib
import secrets

from domain.values.ids import make_id


def fresh(prefix: str, now_us: int) -> str:
    """An id that sorts by time, such as `job-01jx...`."""
    return make_id(prefix, now_us, secrets.randbits(80))


def fresh_token() -> str:
    """A bearer token of 256 random bits."""
    return f"cp_{secrets.token_urlsafe(32)}"


def digest(token: str) -> str:
    """What is kept of a token: its SHA-256 in hex. A random 256-bit text needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()
