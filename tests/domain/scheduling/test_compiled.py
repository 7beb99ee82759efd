"""What is compiled is kept for the code and the columns it was compiled from, and no others."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from domain.scheduling.fleet import compiled, layout, leaving

SAY = "from domain.scheduling.fleet import compiled; print(compiled.numba.config.CACHE_DIR)"


def test_a_column_that_moves_leaves_nothing_of_what_was_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = compiled.form(layout, leaving)
    assert compiled.form(layout, leaving) == before
    monkeypatch.setattr(layout, "STRIDE", layout.STRIDE + 1)
    moved = compiled.form(layout, leaving)
    monkeypatch.undo()
    monkeypatch.setattr(leaving, "takes", leaving.asks)
    assert len({before, moved, compiled.form(layout, leaving)}) == 3


def test_every_process_finds_what_another_kept(tmp_path: object) -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SAY],
            env={**os.environ, "PYTHONHASHSEED": seed, "NUMBA_CACHE_DIR": f"{tmp_path}"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert said.pop().startswith(f"{tmp_path}/")
