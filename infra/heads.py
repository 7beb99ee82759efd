"""Signed tree heads, the key that signs them, and the folder that witnesses them.

The folder is the second place: keep it on another disk, or where the database's owner cannot
write. `python -m infra.heads FOLDER public|rotate|accept` is for its owner.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.merkle import Tree

FORMAT = "compute-platform tree head v1"


@dataclass(frozen=True)
class Head:
    """The tree of the first `size` events, whose last one is at `position`; hashes in hex.

    `time` is in microseconds since the epoch. Where `next_key` holds a public key, that one signs
    all later heads.
    """

    cell: str
    tree: str
    size: int
    root: str
    position: int
    time: int
    key: str
    next_key: str = ""
    signature: str = ""

    def message(self) -> bytes:
        """What is signed: the format's name and all fields but the signature, one a line."""
        fields = (self.cell, self.tree, self.size, self.root, self.position, self.time)
        return "\n".join((FORMAT, *map(str, fields), self.key, self.next_key)).encode()

    def line(self) -> str:
        """The head as one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"))


def key_id(public: bytes) -> str:
    """The name of a public key: the first 16 hex digits of its SHA-256."""
    return sha256(public).hexdigest()[:16]


class Key:
    """An Ed25519 key that signs heads."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = private.public_key().public_bytes_raw()
        self.id = key_id(self.public)

    def sign(self, head: Head) -> Head:
        """The head under this key's name and signature."""
        head = replace(head, key=self.id)
        return replace(head, signature=self._private.sign(head.message()).hex())


@dataclass(frozen=True)
class Mark:
    """Where in the log a tree stood, and its frontier there."""

    position: int
    tree: Tree


class Folder:
    """The second place: key (mode 600), heads, and a mark from which a restart goes on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.key = self._key("key")

    def _key(self, name: str) -> Key:
        file = self.path / name
        if not file.exists():
            private = Ed25519PrivateKey.generate()
            _write(file, private.private_bytes_raw().hex() + "\n", 0o600)
            key = Key(private)
            _write(self.path / f"public-{key.id}", key.public.hex() + "\n", 0o644)
        return Key(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(file.read_text().strip())))

    def heads(self) -> Iterator[Head]:
        """Every head of the newest tree, oldest first. ValueError for a line that is none."""
        file = self.path / "heads.jsonl"
        if not file.exists():
            return
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                yield head_of(line)

    def mend(self) -> None:
        """Drop the piece of a line that a crash left at the end: that head was never given out."""
        file = self.path / "heads.jsonl"
        if file.exists() and not (text := file.read_bytes()).endswith(b"\n"):
            os.truncate(file, text.rfind(b"\n") + 1)

    def last(self) -> Head | None:
        """The newest head."""
        last = None
        for head in self.heads():
            last = head
        return last

    def add(self, head: Head) -> Head:
        """Sign a head and write it to the disk; a rotation asked for takes place with it."""
        rotating = (self.path / "rotate").exists()
        following = self._key("key.next") if rotating else None
        signed = self.key.sign(replace(head, next_key=following.public.hex() if following else ""))
        with (self.path / "heads.jsonl").open("a", encoding="utf-8") as file:
            file.write(signed.line() + "\n")
            file.flush()
            os.fsync(file.fileno())
        if following:
            self._take_up()
        return signed

    def settle(self, last: Head) -> None:
        """Finish a rotation that the process did not live to finish."""
        waiting = self.path / "key.next"
        if (
            last.next_key
            and waiting.exists()
            and self._key("key.next").public.hex() == last.next_key
        ):
            self._take_up()

    def _take_up(self) -> None:
        (self.path / "key.next").replace(self.path / "key")
        (self.path / "rotate").unlink(missing_ok=True)
        self.key = self._key("key")

    def rotate(self) -> None:
        """Ask that the next head names a new key, which signs all after it."""
        _write(self.path / "rotate", "", 0o600)

    def mark(self) -> Mark | None:
        """Where the last run stood, at or before its last head."""
        file = self.path / "mark"
        if not file.exists():
            return None
        found = json.loads(file.read_text())
        tree = Tree(found["size"], [bytes.fromhex(peak) for peak in found["peaks"]])
        return Mark(found["position"], tree)

    def set_mark(self, mark: Mark) -> None:
        """Note where a restart may go on."""
        found: dict[str, Any] = {"position": mark.position, "size": mark.tree.size}
        found["peaks"] = [peak.hex() for peak in mark.tree.peaks]
        _write(self.path / "mark", json.dumps(found), 0o600)

    def accept(self, reason: str) -> None:
        """Let the next start begin a new tree though the log does not agree with this one."""
        _write(self.path / "accepted", reason + "\n", 0o600)

    def accepted(self) -> str:
        """Why a new tree may begin; empty if it may not."""
        file = self.path / "accepted"
        return file.read_text().strip() if file.exists() else ""

    def begin_anew(self) -> None:
        """Put the heads of the old tree aside, as evidence."""
        aside = self.path / f"broken-{secrets.token_hex(4)}"
        aside.mkdir(mode=0o700)
        for name in ("heads.jsonl", "mark", "accepted", "ALARM"):
            if (self.path / name).exists():
                (self.path / name).rename(aside / name)

    def alarm(self, text: str) -> None:
        """Leave the alarm where people look."""
        _write(self.path / "ALARM", text + "\n", 0o644)


def head_of(line: str) -> Head:
    """The head on a line. ValueError if it is none."""
    try:
        return Head(**json.loads(line))
    except TypeError as error:
        raise ValueError(f"no head: {line[:80]!r}") from error


def _write(file: Path, text: str, mode: int) -> None:
    """Replace a file at once and whole; it never has another mode."""
    new = file.with_name(file.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as opened:
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)


def main(words: list[str]) -> str:
    """What the folder's owner asked for; the answer to print."""
    if len(words) == 2 and words[1] == "public":
        return Folder(Path(words[0])).key.public.hex()
    if len(words) == 2 and words[1] == "rotate":
        Folder(Path(words[0])).rotate()
        return "the next head names the new key"
    if len(words) == 3 and words[1] == "accept" and words[2].strip():
        Folder(Path(words[0])).accept(words[2])
        return "the next start begins a new tree and keeps the old heads aside"
    sys.exit("python -m infra.heads FOLDER public | rotate | accept REASON")


if __name__ == "__main__":
    sys.stdout.write(main(sys.argv[1:]) + "\n")
