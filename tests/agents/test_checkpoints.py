"""Checkpoints: published whole, stored once, restored exactly, never partly or from elsewhere."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agents.checkpoints import (
    CheckpointBroken,
    FileEntry,
    Manifest,
    Memory,
    publish,
    restore,
)
from agents.chunks import CHUNK_BYTES, ObjectFolder


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_published_is_restored_and_only_new_chunks_are_stored(tmp_path: Path) -> None:
    objects, source = ObjectFolder(tmp_path / "objects"), tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    big = bytes(range(256)) * (CHUNK_BYTES // 64)
    (source / "model").write_bytes(big)
    (source / "deep" / "step").write_bytes(b"1")
    memory = Memory()
    first = publish(source, objects, memory)
    assert first is not None
    assert (first.files, first.bytes) == (2, len(big) + 1)
    (source / "model").write_bytes(big + b"more")
    second = publish(source, objects, memory)
    assert second is not None
    assert second.new_bytes < CHUNK_BYTES, "unchanged chunks are not stored again"
    for found, expected in ((first, big), (second, big + b"more")):
        restore(found.digest, tmp_path / "again", objects)
        assert files_in(tmp_path / "again") == {"model": expected, "deep/step": b"1"}


def test_a_flipped_bit_or_a_missing_chunk_is_never_restored(tmp_path: Path) -> None:
    objects, source = ObjectFolder(tmp_path / "objects"), tmp_path / "source"
    source.mkdir()
    (source / "model").write_bytes(b"weights")
    found = publish(source, objects, Memory())
    assert found is not None
    [chunk] = [p for p in (tmp_path / "objects/chunks").rglob("*") if p.is_file()]
    chunk.chmod(0o600)
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine").write_bytes(b"kept")
    chunk.write_bytes(b"weightz")
    with pytest.raises(CheckpointBroken):
        restore(found.digest, target, objects)
    chunk.unlink()
    with pytest.raises(CheckpointBroken):
        restore(found.digest, target, objects)
    assert files_in(target) == {"mine": b"kept"}


@pytest.mark.parametrize("path", ["../out", "/etc/out", "a/../../out", "", "a\0b"])
def test_a_manifest_cannot_lead_out_of_the_folder(tmp_path: Path, path: str) -> None:
    objects = ObjectFolder(tmp_path / "objects")
    digest, _ = objects.put("chunks", b"x")
    entry = FileEntry(path, 0o644, 1, (digest,))
    manifest = msgspec.json.encode(Manifest(1, CHUNK_BYTES, (entry,)))
    name, _ = objects.put("manifests", manifest)
    with pytest.raises(CheckpointBroken):
        restore(name, tmp_path / "target", objects)
    assert not (tmp_path / "out").exists()
