"""Seconds for the auditor's program to verify an exported log, beside SHA-256 of the same file."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from hashlib import file_digest
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.options import positive
from bench.report import Row, medians, rows
from compute_platform import verify
from domain.merkle import Tree, leaf_hash
from infra.envelope import envelope
from infra.heads import Head, Key

HEAD_EVERY = 10_000
STATE = (
    b'{"actor":"scheduler","cause":"event:1","correlation":"job","project":"ml","epoch":7,"data":'
)
STATE += b'{"job":"job-01m8ddz9a20matmcb47pf5bxn8","text":"' + b"x" * 120 + b'"}}'


def options(parser: argparse.ArgumentParser) -> None:
    """How many events, how often."""
    parser.add_argument("--events", type=positive, default=1_000_000, help="in the log")
    parser.add_argument("--runs", type=positive, default=3, help="rounds; figures are medians")


def run(options: argparse.Namespace) -> list[Row]:
    """Rows of seconds: the program as a process of its own, and the raw limit."""
    size: int = options.events
    with tempfile.TemporaryDirectory(prefix="compute-bench-") as folder:
        export = Path(folder) / "export.jsonl"
        public = _write(export, size)
        found = []
        for number in range(1, options.runs + 1):
            print(f"round {number} of {options.runs}", file=sys.stderr)
            found.append(
                {"verify.sha256": _digest(export), "verify.program": _verify(export, public)}
            )
    return rows(medians(found), "s", size, "verify.sha256", [], "verify.program")


def _write(export: Path, size: int) -> str:
    """An export of so many events; the public key."""
    key, tree, heads = Key(Ed25519PrivateKey.generate()), Tree(), []
    events = export.with_suffix(".events")
    with events.open("wb") as file:
        for at in range(1, size + 1):
            line = envelope(at - 1, at, f"job/{at // 9}", at % 9 + 1, "job.held.v1", STATE, at)
            file.write(line + b"\n")
            tree.add(leaf_hash(line))
            if at % HEAD_EVERY == 0 or at == size:
                head = key.sign(Head("main", "bench", at, tree.root().hex(), at, at, ""))
                heads.append(head.line())
    with export.open("wb") as file, events.open("rb") as lines:
        first = verify.header({"cell": "main", "tree": "bench"}, len(heads))
        file.write((first + "".join(head + "\n" for head in heads)).encode())
        for line in lines:
            file.write(line)
    events.unlink()
    return key.public.hex()


def _digest(export: Path) -> float:
    began = time.perf_counter()
    with export.open("rb") as file:
        file_digest(file, "sha256")
    return time.perf_counter() - began


def _verify(export: Path, public: str) -> float:
    command = [sys.executable, verify.__file__, "--key", public, str(export)]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"the export did not verify: {done.stdout}{done.stderr}")
    return time.perf_counter() - began
