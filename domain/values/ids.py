"""Identifiers: one type per kind, so that they cannot be mixed up."""

from __future__ import annotations

import re
from typing import NewType

from domain.errors import Invalid

JobId = NewType("JobId", str)
AllocationId = NewType("AllocationId", str)
CheckpointId = NewType("CheckpointId", str)
TokenId = NewType("TokenId", str)
NodeId = NewType("NodeId", str)
ProjectId = NewType("ProjectId", str)
DeviceId = NewType("DeviceId", str)

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def check_name(field: str, text: str) -> str:
    """`text` if it is a name people may choose: 1-63 of a-z 0-9 . _ - ; else Invalid."""
    if not _NAME.fullmatch(text):
        raise Invalid(
            "bad_name",
            f"{field}: use 1 to 63 characters of a-z, 0-9, '.', '_' and '-',"
            " starting and ending with a letter or digit",
            field=field,
        )
    return text


def make_id(prefix: str, now_us: int, random_bits: int) -> str:
    """An id that sorts by time: `prefix-` and the 26 characters of a ULID in lower case.

    `random_bits` are 80 bits of randomness, given by the caller. (https://github.com/ulid/spec)
    """
    number = (now_us // 1000) << 80 | (random_bits & (1 << 80) - 1)
    digits = [_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5)]
    return f"{prefix}-{''.join(digits)}"
