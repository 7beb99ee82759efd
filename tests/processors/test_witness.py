"""The witness on a real log: what it signs, where it goes on, and what makes it sound the alarm."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from compute_platform.verify import Broken, audit, inclusion
from domain.errors import NotFound, StaleWriter
from domain.project.events import Created
from domain.values.ids import ProjectId
from infra import heads as heads_file
from infra.follow import Bell
from infra.heads import Folder
from infra.settings import ALARM_CODE
from infra.store import Change, Store, stream_of
from infra.tree import TILE, export, prove
from processors.alarm import TamperAlarm
from processors.projector import connect
from processors.witness import ROLE, Witness
from tests.infra.test_store import META


def append(store: Store, count: int, prefix: str = "p") -> None:
    """So many events."""
    created = Created(ProjectId("ml"), "x")
    start = store.head()
    changes = [
        Change(stream_of("project", f"{prefix}-{start}-{n}"), 0, [created], META)
        for n in range(count)
    ]
    store.append(changes)


@contextmanager
def witness(dsn: str, store: Store, folder: Path) -> Iterator[Witness]:
    """A witness that leads, at its start."""
    connection, bell = connect(dsn), Bell(dsn)
    try:
        epoch = store.take_role(ROLE, "test")
        yield Witness(connection, Folder(folder), "main", epoch, bell, store.now)
    finally:
        bell.close()
        connection.close()


def sign(dsn: str, store: Store, folder: Path) -> int:
    """Start, take in all there is, sign; the size that is signed."""
    with witness(dsn, store, folder) as each:
        while each.step():
            pass
        each.sign()
    last = Folder(folder).last()
    return last.size if last else 0


def exported(dsn: str) -> list[bytes]:
    """The lines of an export."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        return list(export(connection))


def rewrite(dsn: str, statement: str) -> None:
    """What only the database's owner can do."""
    with psycopg.connect(dsn) as connection:
        connection.execute("ALTER TABLE stored_events DISABLE TRIGGER ALL")
        connection.execute(statement.encode())


@pytest.mark.parametrize("counts", [[1], [TILE], [3, TILE - 3, 1], [2 * TILE + 5, 1, TILE]])
def test_what_it_signs_an_auditor_finds_whole(
    dsn: str, store: Store, tmp_path: Path, counts: list[int]
) -> None:
    """Whatever the witness was stopped at, it goes on; proofs hold against its newest head."""
    for count in counts:
        append(store, count)
        sign(dsn, store, tmp_path)
    public = Folder(tmp_path).key.public
    kept = [head.line() for head in Folder(tmp_path).heads()]
    assert len(kept) == len(counts)
    assert audit(public, exported(dsn), kept).size == sum(counts)
    with psycopg.connect(dsn, autocommit=True) as connection:
        rows = connection.execute("SELECT notification_id FROM stored_events").fetchall()
        for position in sorted(place for (place,) in rows)[:: max(1, len(rows) // 7)]:
            found = prove(connection, position)
            proof = {
                "envelope": found.entry.decode(),
                "index": found.index,
                "path": [step.hex() for step in found.path],
                "head": vars(found.head),
            }
            assert inclusion(public, proof)["size"] == sum(counts)


def test_what_is_not_signed_or_not_there_has_no_proof(
    dsn: str, store: Store, tmp_path: Path
) -> None:
    append(store, 2)
    with psycopg.connect(dsn, autocommit=True) as connection:
        with pytest.raises(NotFound, match="not_signed_yet"):
            prove(connection, store.head())
        with pytest.raises(NotFound, match="not_signed_yet"):
            list(export(connection))
        sign(dsn, store, tmp_path)
        append(store, 1)
        with pytest.raises(NotFound, match="not_signed_yet"):
            prove(connection, store.head())
        with pytest.raises(NotFound, match="no_such_event"):
            prove(connection, store.head() + 1)


def test_nothing_new_is_not_signed_again(dsn: str, store: Store, tmp_path: Path) -> None:
    append(store, 2)
    with witness(dsn, store, tmp_path) as each:
        assert each.sign() is None
        each.step()
        assert each.sign() is not None
        assert each.sign() is None


CHANGES = {
    "cut": "DELETE FROM stored_events WHERE notification_id > 2",
    "brought back empty": "DELETE FROM stored_events",
    "one changed": "UPDATE stored_events SET recorded_at = 1 WHERE notification_id = 2",
    "one deleted": "DELETE FROM stored_events WHERE notification_id = 2",
    "state of no kind": "UPDATE stored_events SET state = 'x' WHERE notification_id = 4",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_log_that_does_not_agree_is_refused_at_the_start(
    dsn: str, store: Store, tmp_path: Path, change: str
) -> None:
    append(store, 5)
    assert sign(dsn, store, tmp_path) == 5
    rewrite(dsn, CHANGES[change])
    with pytest.raises(TamperAlarm), witness(dsn, store, tmp_path):
        pass
    assert (tmp_path / "ALARM").read_text()
    kept, lines = [head.line() for head in Folder(tmp_path).heads()], exported(dsn)
    with pytest.raises(Broken):
        audit(Folder(tmp_path).key.public, lines, kept)


def test_a_backup_that_grew_anew_is_refused(dsn: str, store: Store, tmp_path: Path) -> None:
    """As long as before and longer, but another history: a fork."""
    append(store, TILE + 5)
    sign(dsn, store, tmp_path)
    rewrite(dsn, f"DELETE FROM stored_events WHERE notification_id > {TILE}")
    rewrite(dsn, f"SELECT setval('stored_events_notification_id_seq', {TILE})")
    append(store, 10, "other")
    with pytest.raises(TamperAlarm, match="are not those that were signed"):
        sign(dsn, store, tmp_path)


def test_what_is_changed_while_it_runs_is_found_at_the_next_head(
    dsn: str, store: Store, tmp_path: Path
) -> None:
    append(store, 5)
    with witness(dsn, store, tmp_path) as each:
        each.step()
        rewrite(dsn, "DELETE FROM stored_events WHERE notification_id > 2")
        with pytest.raises(TamperAlarm, match="changed or is gone"):
            each.sign()


def test_a_folder_that_was_taken_away_is_noticed(dsn: str, store: Store, tmp_path: Path) -> None:
    append(store, 1)
    sign(dsn, store, tmp_path / "a")
    with pytest.raises(TamperAlarm, match="put the folder back"):
        sign(dsn, store, tmp_path / "b")


def test_an_accepted_loss_begins_a_new_tree_and_keeps_the_evidence(
    dsn: str, store: Store, tmp_path: Path
) -> None:
    append(store, 5)
    sign(dsn, store, tmp_path)
    rewrite(dsn, CHANGES["cut"])
    with pytest.raises(TamperAlarm):
        sign(dsn, store, tmp_path)
    kept = [head.line() for head in Folder(tmp_path).heads()]
    heads_file.main([str(tmp_path), "accept", "restored from the backup of Monday"])
    assert sign(dsn, store, tmp_path) == 2
    assert not (tmp_path / "ALARM").exists()
    [aside] = tmp_path.glob("broken-*")
    assert (aside / "heads.jsonl").read_text().splitlines() == kept
    public = Folder(tmp_path).key.public
    assert audit(public, exported(dsn)).size == 2
    with pytest.raises(Broken, match="begun anew"):
        audit(public, exported(dsn), kept)


def test_a_rotated_key_is_named_by_the_old_one(dsn: str, store: Store, tmp_path: Path) -> None:
    append(store, 1)
    sign(dsn, store, tmp_path)
    first = Folder(tmp_path).key.public
    heads_file.main([str(tmp_path), "rotate"])
    for _ in range(3):
        append(store, 1)
        sign(dsn, store, tmp_path)
    folder = Folder(tmp_path)
    assert folder.key.public != first
    assert len({head.key for head in folder.heads()}) == 2
    kept = [head.line() for head in folder.heads()]
    assert audit(first, exported(dsn), kept).size == 4
    assert heads_file.main([str(tmp_path), "public"]) == folder.key.public.hex()
    for name in ("key", "mark"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_head_that_a_crash_tore_is_written_anew(dsn: str, store: Store, tmp_path: Path) -> None:
    append(store, 2)
    sign(dsn, store, tmp_path)
    with (tmp_path / "heads.jsonl").open("a") as file:
        file.write('{"cell":"main","tr')
    append(store, 1)
    assert sign(dsn, store, tmp_path) == 3
    kept = [head.line() for head in Folder(tmp_path).heads()]
    assert audit(Folder(tmp_path).key.public, exported(dsn), kept).size == 3


def test_one_that_leads_no_more_stores_nothing(dsn: str, store: Store, tmp_path: Path) -> None:
    append(store, 1)
    with witness(dsn, store, tmp_path) as each:
        each.step()
        store.take_role(ROLE, "another")
        with pytest.raises(StaleWriter):
            each.sign()


def test_the_program_tells_what_it_found(dsn: str, store: Store, tmp_path: Path) -> None:
    """The auditor's copy of the file alone, in a process of its own, with no site packages."""
    append(store, 5)
    sign(dsn, store, tmp_path)
    source = Path(sys.modules[audit.__module__].__file__ or "")
    program = tmp_path / "verify.py"
    program.write_text(source.read_text())
    lines = exported(dsn)
    for number, changed in enumerate([lines, lines[:-1], [*lines[:-2], lines[-1]], [b"?"]]):
        (tmp_path / "export").write_bytes(b"".join(changed))
        words = [sys.executable, "-I", "-S", str(program), str(tmp_path / "export")]
        words += [
            "--key",
            Folder(tmp_path).key.public.hex(),
            "--heads",
            str(tmp_path / "heads.jsonl"),
        ]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == (1 if number else 0), done.stderr
        assert done.stdout.startswith("BROKEN: " if number else "5 events up to position 5 ")


def test_the_processes_end_with_the_alarm_and_say_why(
    dsn: str, store: Store, tmp_path: Path
) -> None:
    append(store, 5)
    sign(dsn, store, tmp_path)
    rewrite(dsn, CHANGES["cut"])
    done = subprocess.run(
        [sys.executable, "-m", "processors", "projector", "witness"],
        env={**os.environ, "COMPUTE_DATABASE_URL": dsn, "COMPUTE_WITNESS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == ALARM_CODE
    assert "ALARM: the log ends at position 2 with 2 events, 5 up to position 5" in done.stderr
