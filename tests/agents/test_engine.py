"""The docker SDK as the agent uses it, where nothing answers."""

from __future__ import annotations

import gc
import warnings
from contextlib import closing
from pathlib import Path

import docker
import pytest

from agents.engine import FAILURES


def test_an_engine_that_is_away_leaves_no_socket_open(tmp_path: Path) -> None:
    gc.collect()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with closing(docker.DockerClient(f"unix://{tmp_path}/none", version="1.41")) as client:
            for _ in range(3):
                with pytest.raises(FAILURES):
                    client.ping()
        gc.collect()
    assert [str(each.message) for each in told if each.category is ResourceWarning] == []
