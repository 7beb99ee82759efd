"""F07 and F24 in short: kills of every process and of the database under load."""

from __future__ import annotations

import pytest

from tests.faults.soak import main


@pytest.mark.timeout(900)
def test_f07_f24_nothing_acknowledged_is_lost_whatever_is_killed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seconds", "20", "--seed", "7"]) == 0
    assert "0 lost, 0 twice" in capsys.readouterr().out
