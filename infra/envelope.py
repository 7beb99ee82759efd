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
    """One line of JSON, without the line's end; `previous` is the position of the event before.

    `state` is spliced in as it is stored. ValueError if it is no JSON object on one line.
    """
    if not state.startswith(b"{") or not state.endswith(b"}") or b"\n" in state or b"\r" in state:
        raise ValueError(f"position {position}: what is stored is no JSON object on one line")
    return (
        b'{"position":%d,"previous":%d,"stream":%b,"version":%d,"name":%b,"recorded_at":%d,%b'
        % (position, previous, encode(stream), version, encode(name), recorded_at, state[1:])
    )
