"""What every runner does, whatever stands behind it: one suite for Docker, sandbox and process."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from agents.runner import Found
from tests.agents.conftest import Bench


def wait_for_text(path: Path, text: bytes) -> None:
    deadline = time.monotonic() + 20
    while text not in path.read_bytes():
        assert time.monotonic() < deadline, path.read_bytes()
        time.sleep(0.02)


def test_exit_codes_are_carried(bench: Bench) -> None:
    for script, code in (("exit 0", 0), ("exit 7", 7)):
        spec = bench.spec(script)
        bench.runner.start(spec)
        assert bench.ended(spec).code == code
        bench.runner.release(spec.key)


def test_output_is_kept_byte_for_byte_from_both_streams(bench: Bench) -> None:
    binary = "" if bench.image else r"\377"  # the engine's JSON holds text only
    spec = bench.spec(rf"printf 'one\n\001{binary}\n'; sleep 0.3; printf 'tw\303\266' >&2")
    bench.runner.start(spec)
    bench.ended(spec)
    expected = b"one\n\x01" + (b"" if bench.image else b"\xff") + "\ntwö".encode()
    assert spec.folder.log.read_bytes() == expected
    bench.runner.release(spec.key)


def test_a_stop_lets_the_job_save(bench: Bench) -> None:
    script = "trap 'echo saved; exit 3' TERM; echo ready; while true; do sleep 0.05; done"
    spec = bench.spec(script)
    bench.runner.start(spec)
    wait_for_text(spec.folder.log, b"ready")
    assert bench.runner.signal(spec.key, signal.SIGTERM)
    assert bench.ended(spec).code == 3
    assert b"saved" in spec.folder.log.read_bytes()
    bench.runner.release(spec.key)


def test_a_signal_that_would_kill_is_not_sent(bench: Bench) -> None:
    spec = bench.spec("echo ready; sleep 60; echo never")
    bench.runner.start(spec)
    wait_for_text(spec.folder.log, b"ready")
    assert not bench.runner.signal(spec.key, signal.SIGUSR1, only_if_caught=True)
    bench.runner.kill(spec.key)
    assert bench.ended(spec).code == 128 + signal.SIGKILL
    bench.runner.release(spec.key)


def test_memory_beyond_the_limit_is_told_as_such(bench: Bench) -> None:
    grow = 'x=0123456789abcdef; while true; do x="$x$x"; done'
    spec = bench.spec(grow, memory_bytes=64 * 2**20)
    bench.runner.start(spec)
    result = bench.ended(spec)
    assert result.out_of_memory, (result, spec.folder.log.read_bytes()[-300:])
    bench.runner.release(spec.key)


def test_a_running_seat_is_adopted_by_the_next_agent(bench: Bench) -> None:
    spec = bench.spec("echo ready; while [ ! -e go ]; do sleep 0.05; done; exit 5")
    bench.runner.start(spec)
    wait_for_text(spec.folder.log, b"ready")
    after = bench.again()
    assert after.adopt(spec) is Found.RUNNING
    (spec.folder.work / "go").touch()
    assert bench.exits.get(timeout=20) == spec.key
    bench.runner = after
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:  # both runners watch it here; the second is asked
        try:
            assert after.result(spec.key).code == 5
            break
        except LookupError:
            time.sleep(0.05)
    after.release(spec.key)


def test_a_job_cannot_reach_out_of_its_isolation(bench: Bench) -> None:
    if bench.runner.name == "process":
        return  # isolates nothing, as its name and the agent's warning say
    probes = {
        "network": "[ -z \"$(ls /sys/class/net 2>/dev/null | grep -v '^lo$')\" ]",
        "root": "! touch /bin/probe 2>/dev/null",
        "mount": "! mount -t tmpfs none /job 2>/dev/null",
        "processes": "[ ! -e /proc/100000 ] && [ $(ls -d /proc/[0-9]* | wc -l) -lt 12 ]",
        "own folder": "touch mine",
    }
    script = "grep() { while read -r l; do [ $l = lo ] || echo $l; done; }; " if bench.image else ""
    script += "\n".join(f"if {test}; then echo '{name} ok'; fi" for name, test in probes.items())
    spec = bench.spec(script.replace("| wc -l) -lt 12", "| wc -l) -lt 12"))
    bench.runner.start(spec)
    bench.ended(spec)
    told = spec.folder.log.read_text()
    for name in ("root", "mount", "own folder"):
        assert f"{name} ok" in told, told
    bench.runner.release(spec.key)
