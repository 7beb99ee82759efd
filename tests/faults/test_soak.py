"""F07 and F24 in short: kills of every process and of the database under load."""

from __future__ import annotations

import pytest

from tests.faults.resources import Resources, lasting
from tests.faults.soak import main


@pytest.mark.timeout(900)
def test_f07_f24_nothing_acknowledged_is_lost_whatever_is_killed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seconds", "20", "--seed", "7"]) == 0
    told = capsys.readouterr().out
    assert "0 lost, 0 twice" in told
    assert "agent: descriptors" in told


def test_what_only_grows_is_seen_and_a_peak_is_not() -> None:
    leak = [20 + step for step in range(40)]
    assert lasting(leak) == 11
    assert lasting([20] * 30 + [90] + [20] * 9) == 0
    assert lasting([1, 30, *[28] * 38]) == 0, "what fills up at the beginning is warm-up"
    held = Resources(list(range(0, 800, 20)), {"agent": leak}, {"agent": [2**20] * 40}, [9] * 40)
    with pytest.raises(AssertionError, match="agent holds more and more"):
        held.check()
    held.descriptors["agent"] = [20] * 40
    held.check()
    held.memory["agent"] = [2**20 * step for step in range(40)]
    assert held.mib_per_1000("agent") == 50
    with pytest.raises(AssertionError, match="agent grows"):
        held.check()
