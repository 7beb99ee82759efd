"""`python -m processors`: what is loaded, and what it says about wrong settings."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LOADED = "import sys, processors.__main__, api.__main__, infra.local; print(*sys.modules)"


def test_without_kafka_nothing_of_it_is_loaded() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, check=True)
    loaded = {name.split(b".")[0] for name in done.stdout.split()}
    assert b"eventsourcing" in loaded
    assert not loaded & {b"kafka", b"cloudevents", b"crc32c"}


@pytest.mark.parametrize(
    ("names", "env", "said"),
    [
        (["relay"], {"COMPUTE_KAFKA": ""}, "COMPUTE_KAFKA: '' is not host:port"),
        ([], {"COMPUTE_KAFKA": "nowhere"}, "COMPUTE_KAFKA: 'nowhere' is not host:port"),
        (["relay"], {"COMPUTE_KAFKA": "a:1", "COMPUTE_CELL": "A!"}, "COMPUTE_CELL: 'A!' must be"),
        (["relays"], {}, "no process 'relays'"),
        ([], {"COMPUTE_DATABASE_URL": ""}, "set COMPUTE_DATABASE_URL"),
    ],
)
def test_wrong_settings_end_it_at_once_with_their_name(
    names: list[str], env: dict[str, str], said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "processors", *names],
        env={**os.environ, "COMPUTE_DATABASE_URL": "postgresql://nowhere", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert said in done.stderr
