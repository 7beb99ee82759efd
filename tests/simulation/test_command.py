"""`make simulate`: what it takes, what it prints, and how a failing world is made smaller."""

from __future__ import annotations

import shlex

import pytest

from tests.simulation.__main__ import main
from tests.simulation.guards import Guard
from tests.simulation.world import run


def test_worlds_that_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["1-2"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    words = last.replace(",", "").split()
    assert words[0::2] == ["2", words[2], "0"]
    assert words[1::2] == ["seeds", "events", "violations"]
    assert int(words[2]) > 1000


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["x"], "'x' is neither a seed such as 35 nor a range such as 1-2000"),
        (["1-"], "'1-' is neither"),
        (["1-2-3"], "'1-2-3' is neither"),
        (["1.5"], "'1.5' is neither"),
        (["9-3"], "'9-3' ends before it begins"),
        (["1", "--without", "luck"], "no guard 'luck'; there are EPOCH"),
    ],
)
def test_nonsense_is_refused_in_words(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(words)
    assert refused.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_failing_world_is_made_as_small_as_it_gets_and_runs_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    guard = Guard.LEASE_WAIT
    seed = next(seed for seed in (2, *range(1, 200)) if run(seed, frozenset({guard})).violation)
    assert main([str(seed), "--without", guard.name.lower()]) == 1
    lines = capsys.readouterr().out.splitlines()
    [again] = [line for line in lines if line.startswith("python -m tests.simulation")]
    words = shlex.split(again)[3:]
    kept = words[-1].split(",")
    assert words[:-1] == [str(seed), "--without", guard.name.lower(), "--only"]
    broken = _broken(seed, guard, kept)
    assert broken in ("I1", "I3")
    for left_out in kept:
        rest = [name for name in kept if name != left_out]
        assert _broken(seed, guard, rest) != broken, f"{left_out} was not needed"


def _broken(seed: int, guard: Guard, only: list[str]) -> str:
    """The invariant that breaks without the guard."""
    violation = run(seed, frozenset({guard}), only).violation
    return violation.invariant if violation else ""
