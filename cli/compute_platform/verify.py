"""`python -m compute_platform.verify --key KEY EXPORT`: hold an exported log against its signatures.

One program, for auditors: offline, on the standard library alone, and independent of the server's
code. It works without the rest of this package too: copy the file. docs/audit-log.md says what an
export holds. Exit code 0 if all of it is as it was signed, 1 if not, 2 if it cannot be read.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256, sha512
from typing import Any

EXPORT = "compute-platform log export v1"
HEAD = "compute-platform tree head v1"
_FIELDS = ("cell", "tree", "size", "root", "position", "time", "key", "next_key", "signature")
_EVENT = re.compile(rb'\{"position":([0-9]+),"previous":([0-9]+),')


class Broken(Exception):
    """What is wrong, and with which event or head."""


class Auditor:
    """Holds events, in order, against the heads of one tree.

    `key` is the public key that signed the first head; later keys are named in signed heads. Heads
    kept elsewhere since (`kept`) must be of the same tree: they show a log that was cut, brought
    back from a backup, or grown anew. Raises Broken as soon as something does not agree.
    """

    def __init__(self, key: bytes, heads: Iterable[str], kept: Iterable[str] = ()) -> None:
        self._heads = _checked(key, heads, kept)
        self._next = 0
        self.size = 0
        self._peaks: list[bytes] = []
        self._position = 0

    @property
    def last(self) -> dict[str, Any]:
        """The newest head."""
        return self._heads[-1]

    def copy(self) -> Auditor:
        """One that goes on by itself from here."""
        other = Auditor.__new__(Auditor)
        other.__dict__.update(self.__dict__)
        other._peaks = list(self._peaks)  # noqa: SLF001 - its own kind
        return other

    def event(self, line: bytes) -> None:
        """The next line of the export: one event's canonical envelope."""
        if not line.endswith(b"\n"):
            raise Broken(f"event {self.size + 1} ends in the middle")
        start = _EVENT.match(line)
        if start is None:
            raise Broken(f"line of event {self.size + 1} is no event")
        position, previous = int(start[1]), int(start[2])
        if previous != self._position or position <= previous:
            raise Broken(f"event {self.size + 1} at {position} does not follow {self._position}")
        if self._next == len(self._heads):
            raise Broken(f"event {self.size + 1} at {position} is after all that was signed")
        self._position = position
        size, found, peaks = self.size, sha256(b"\x00" + line[:-1]).digest(), self._peaks
        while size & 1:
            found = sha256(b"\x01" + peaks.pop() + found).digest()
            size >>= 1
        peaks.append(found)
        self.size += 1
        while self._next < len(self._heads) and self._heads[self._next]["size"] == self.size:
            head = self._heads[self._next]
            if head["root"] != root(peaks).hex() or head["position"] != position:
                raise Broken(
                    f"the first {self.size} events, up to position {position}, are not those signed"
                )
            self._next += 1

    def end(self) -> None:
        """No more lines: every head must have been met."""
        if self._next < len(self._heads):
            head = self._heads[self._next]
            raise Broken(
                f"{self.size} events are here, {head['size']} up to {head['position']} were signed"
            )


def root(peaks: list[bytes]) -> bytes:
    """The root over complete subtrees, largest first (RFC 9162 section 2.1.1)."""
    found = peaks[-1]
    for peak in reversed(peaks[:-1]):
        found = sha256(b"\x01" + peak + found).digest()
    return found


def _checked(key: bytes, heads: Iterable[str], kept: Iterable[str]) -> list[dict[str, Any]]:
    """The heads in order, each with a good signature of the key that signed at the time."""
    lines = list(heads)
    listed = [_head(line, f"head {number}") for number, line in enumerate(lines, 1)]
    if not listed:
        raise Broken("nothing is signed: there is no head")
    older = {"size": 0, "position": 0, "time": 0}
    keys = {_key_id(key): key}
    for number, head in enumerate(listed, 1):
        name = f"head {number}"
        if (head["cell"], head["tree"]) != (listed[0]["cell"], listed[0]["tree"]):
            raise Broken(f"{name} is of another tree")
        if any(head[each] < older[each] for each in older) or head["size"] < 1:
            raise Broken(f"{name} is older than the one before it")
        if head["key"] != _key_id(key):
            raise Broken(f"{name} is signed by another key, {head['key']}")
        if not verify(key, _message(head), bytes.fromhex(head["signature"])):
            raise Broken(f"{name} has a wrong signature")
        older = {each: head[each] for each in older}
        if head["next_key"]:
            key = bytes.fromhex(head["next_key"])
            keys[_key_id(key)] = key
    return sorted(
        [*listed, *_own(keys, lines, listed[0], kept)], key=lambda head: int(head["size"])
    )


def _own(
    keys: dict[str, bytes], lines: list[str], first: dict[str, Any], kept: Iterable[str]
) -> Iterator[dict[str, Any]]:
    """Heads kept elsewhere that the export does not have."""
    known = {line.strip() for line in lines}
    for number, line in enumerate(kept, 1):
        if line.strip() in known:
            continue
        name = f"kept head {number}"
        head = _head(line, name)
        if head["key"] not in keys:
            raise Broken(f"{name} is signed by a key the export does not know, {head['key']}")
        if not verify(keys[head["key"]], _message(head), bytes.fromhex(head["signature"])):
            raise Broken(f"{name} has a wrong signature")
        if (head["cell"], head["tree"]) != (first["cell"], first["tree"]):
            raise Broken(f"{name} is of another tree: the log was begun anew")
        yield head


def _head(line: str, name: str) -> dict[str, Any]:
    try:
        head = json.loads(line)
        numbers = all(type(head[each]) is int for each in ("size", "position", "time"))
        texts = all(type(head[each]) is str for each in _FIELDS[:2] + ("root",) + _FIELDS[6:])
        exact = json.dumps({each: head[each] for each in _FIELDS}, separators=(",", ":"))
        for each in ("root", "next_key", "signature"):
            if bytes.fromhex(head[each]).hex() != head[each]:
                raise ValueError(each)
    except (ValueError, KeyError, TypeError) as error:
        raise Broken(f"{name} cannot be read") from error
    if not numbers or not texts or exact != line.removesuffix("\n"):
        raise Broken(f"{name} is not as it was written")
    return dict(head)


def _key_id(public: bytes) -> str:
    return sha256(public).hexdigest()[:16]


def _message(head: dict[str, Any]) -> bytes:
    fields = ("cell", "tree", "size", "root", "position", "time", "key", "next_key")
    return "\n".join((HEAD, *(str(head[each]) for each in fields))).encode()


# Ed25519, verification only, as RFC 8032 section 5.1.7 has it. No secret is handled, so it need not
# take constant time.

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
Point = tuple[int, int, int, int]
_ZERO: Point = (0, 1, 1, 0)


def _add(p: Point, q: Point) -> Point:
    a = (p[1] - p[0]) * (q[1] - q[0]) % _P
    b = (p[1] + p[0]) * (q[1] + q[0]) % _P
    c = 2 * p[3] * q[3] * _D % _P
    d = 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(scalar: int, point: Point) -> Point:
    found = _ZERO
    while scalar:
        if scalar & 1:
            found = _add(found, point)
        point = _add(point, point)
        scalar >>= 1
    return found


def _point(text: bytes) -> Point | None:
    number = int.from_bytes(text, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * _ROOT % _P
    if x * x % _P != square or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


_BASE = _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature (64 bytes) is the key's (32 bytes) of this message."""
    if len(public) != 32 or len(signature) != 64 or _BASE is None:
        return False
    key, r = _point(public), _point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if key is None or r is None or s >= _L:
        return False
    digest = sha512(signature[:32] + public + message).digest()
    left = _times(s, _BASE)
    right = _add(r, _times(int.from_bytes(digest, "little") % _L, key))
    same = (left[0] * right[2] - right[0] * left[2]) % _P == 0
    return same and (left[1] * right[2] - right[1] * left[2]) % _P == 0


def audit(key: bytes, lines: Iterable[bytes], kept: Iterable[str] = ()) -> Auditor:
    """Hold a whole export against the heads in it and those kept elsewhere; Broken if it is not so."""
    rest = iter(lines)
    first = next(rest, b"")
    try:
        count = int(json.loads(first)["heads"])
    except (ValueError, KeyError, TypeError) as error:
        raise Broken("the first line is no export's") from error
    heads = [next(rest, b"").decode(errors="replace") for _ in range(min(count, 10**7))]
    auditor = Auditor(key, heads, kept)
    if first.decode(errors="replace") != header(auditor.last, count):
        raise Broken("the first line is not as it was written")
    for line in rest:
        auditor.event(line)
    auditor.end()
    return auditor


def header(head: dict[str, Any], count: int) -> str:
    """The first line of an export with so many heads, of which this is one."""
    facts = {"format": EXPORT, "cell": head["cell"], "tree": head["tree"], "heads": count}
    return json.dumps(facts, separators=(",", ":")) + "\n"


def inclusion(key: bytes, proof: dict[str, Any]) -> dict[str, Any]:
    """The head that a proof (`compute audit prove`) leads to; Broken if it leads to none.

    `key` is the public key that signed that head.
    """
    head = _head(json.dumps(proof["head"], separators=(",", ":")), "the head")
    if head["key"] != _key_id(key) or not verify(
        key, _message(head), bytes.fromhex(head["signature"])
    ):
        raise Broken("the head is not signed by this key")
    found = sha256(b"\x00" + proof["envelope"].encode()).digest()
    place, last = int(proof["index"]), head["size"] - 1
    if not 0 <= place <= last:
        raise Broken("there is no such leaf in the tree")
    for step in proof["path"]:
        other = bytes.fromhex(step)
        if last == 0:
            raise Broken("the path is too long")
        if place & 1 or place == last:
            found = sha256(b"\x01" + other + found).digest()
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = sha256(b"\x01" + found + other).digest()
        place, last = place >> 1, last >> 1
    if last or found.hex() != head["root"]:
        raise Broken("the event is not in the signed tree")
    return head


def read_key(text: str) -> bytes:
    """A public key: 64 hex digits, or a file that holds them. ValueError if it is neither."""
    if not re.fullmatch("[0-9a-f]{64}", text):
        with open(text, encoding="ascii") as file:  # noqa: PTH123 - as few imports as can be
            text = file.read().strip()
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError("a public key has 64 hex digits")
    return bytes.fromhex(text)


def main(words: list[str] | None = None) -> int:
    """The program; its exit code."""
    parser = argparse.ArgumentParser(prog="compute audit verify", description=__doc__)
    parser.add_argument("export", help="file that `compute audit export` wrote")
    parser.add_argument("--key", required=True, help="public key: 64 hex digits or their file")
    parser.add_argument("--heads", help="heads kept elsewhere: the witness's heads.jsonl")
    options = parser.parse_args(words)
    try:
        key = read_key(options.key)
        kept: list[str] = []
        if options.heads:
            with open(options.heads, encoding="utf-8") as file:  # noqa: PTH123
                kept = list(file)
        with open(options.export, "rb") as lines:  # noqa: PTH123
            found = audit(key, lines, kept)
    except Broken as broken:
        print(f"BROKEN: {broken}")
        return 1
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    head = found.last
    print(
        f"{found.size} events up to position {head['position']} are as they were signed:"
        f" tree {head['tree']}, root {head['root']}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
