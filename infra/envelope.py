"""The canonical envelope: the exact bytes of one event that its leaf in the Merkle tree covers.

docs/audit-log.md describes them for whoever computes them anew.
"""

from __future__ import annotations

from msgspec.json import encode


def envelope(
    previous: int,
    position: int,
    stream: str,
    version: int,
    name: str,
    state: bytes,
    recorded_at: int,
) -> bytes:
    """One line, without its end: JSON, into which `state` is spliced as it is stored.

    `previous` is the position of the event before. What is no JSON object on one line, which
    nothing here writes, stands in hex behind a `!`, so that no two events have the same envelope.
    """
    plain = state.startswith(b'{"') and b"\n" not in state and b"\r" not in state
    return (
        b'{"position":%d,"previous":%d,"stream":%b,"version":%d,"name":%b,"recorded_at":%d,%b'
        % (
            position, previous, encode(stream), version, encode(name), recorded_at,
            state[1:] if plain else b"!%b" % state.hex().encode(),
        )
    )  # fmt: skip
