"""The shape of the project: names, sizes, and the pins under the event store."""

from __future__ import annotations

import inspect
import subprocess
from importlib import metadata
from pathlib import Path

import eventsourcing
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore
from psycopg_pool import ConnectionPool

TOP = Path(__file__).parents[1]
OURS = ("domain", "projections", "infra", "processors", "api", "agents", "bench", "demo", "tests")
FORBIDDEN = {"utils", "common", "helpers", "services", "managers", "core", "base"}
OUR_DISTRIBUTIONS = {"compute-platform", "compute-platform-server"}
LONGEST = 400


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "-c", f"safe.directory={TOP}", "ls-files", "*.py"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
    )
    return [TOP / line for line in done.stdout.splitlines() if (TOP / line).exists()]


def test_no_installed_distribution_brings_a_package_of_our_names() -> None:
    owners = metadata.packages_distributions()
    for name in (*OURS, "compute_platform"):
        strangers = {d.lower() for d in owners.get(name, [])} - OUR_DISTRIBUTIONS
        assert not strangers, f"{name} also comes from {strangers}"


def test_no_file_is_too_long() -> None:
    long = {str(f): n for f in tracked() if (n := len(f.read_text().splitlines())) > LONGEST}
    assert not long


def test_nothing_is_named_for_nothing() -> None:
    words = {part.removesuffix(".py") for f in tracked() for part in f.relative_to(TOP).parts}
    assert not words & FORBIDDEN


def test_every_package_says_what_it_is() -> None:
    silent = [
        str(f) for f in tracked() if f.name == "__init__.py" and not f.read_text().startswith('"""')
    ]
    assert not silent


def test_what_our_recorder_builds_on_is_where_it_was() -> None:
    """infra/recorder.py stands on private parts of two libraries: read a new version first."""
    assert metadata.version(eventsourcing.__name__) == "9.5.6"
    for name in ("_lock_table", "_notify_channel"):
        parameters = inspect.signature(getattr(PostgresApplicationRecorder, name)).parameters
        assert list(parameters) == ["self", "curs"]
    locking = inspect.getsource(PostgresApplicationRecorder._lock_table)
    assert "self.lock_table_statements" in locking
    assert "self.channel_name" in inspect.getsource(PostgresApplicationRecorder._notify_channel)
    assert {"lock_timeout", "originator_id_type", "pre_ping"} <= set(
        inspect.signature(PostgresDatastore.__init__).parameters
    )
    opening = inspect.getsource(PostgresDatastore.__init__)
    assert "self.pool = " in opening
    checking = inspect.getsource(ConnectionPool)
    assert "self._check" in checking
    assert list(inspect.signature(PostgresApplicationRecorder.max_notification_id).parameters) == [
        "self"
    ]
