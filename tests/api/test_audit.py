"""Heads, exports and proofs over HTTP, held to the auditor's own program."""

from __future__ import annotations

from pathlib import Path

from compute_platform.verify import audit, inclusion
from infra.heads import Folder
from tests.api.problem import check_problem
from tests.api.world import World
from tests.processors.test_witness import sign


def test_what_is_signed_is_shown_exported_and_proved(world: World, tmp_path: Path) -> None:
    assert world.admin.send("GET", "/audit/head").json() == {"head": None, "unsigned_after": 0}
    for path in ("/audit/export", f"/audit/proof/{world.store.head()}"):
        found = check_problem(world.admin.send("GET", path), 404)
        assert found["code"] == "not_signed_yet"
    world.submit(world.project())
    size = sign(world.dsn, world.store, tmp_path)
    public = Folder(tmp_path).key.public
    head = world.admin.send("GET", "/audit/head").json()["head"]
    assert head["size"] == size
    text = world.admin.send("GET", "/audit/export").content
    assert audit(public, text.splitlines(keepends=True)).last == head
    proof = world.admin.send("GET", f"/audit/proof/{head['position']}").json()
    assert inclusion(public, proof) == head
    found = check_problem(world.admin.send("GET", f"/audit/proof/{2**40}"), 404)
    assert found["code"] == "no_such_event"
    check_problem(world.admin.send("GET", "/audit/proof/0"), 422)
