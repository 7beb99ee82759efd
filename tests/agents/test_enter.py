"""The program that enters namespaces: as root and as an ordinary user, nothing gets out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from agents import enter, layout
from agents.launch import seccomp_filter
from tests.real_parts import need

NOBODY = layout.NOBODY
Enter = Any


@pytest.fixture(params=["root", "user"])
def run(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Enter]:
    """Run a shell text inside, started by root or by an ordinary user."""
    need(os.geteuid() == 0 or request.param == "user", "only root can start it as root")
    drop = os.geteuid() == 0 and request.param == "user"
    python = "/usr/bin/python3" if drop else sys.executable
    need(Path(python).exists(), "no Python that an ordinary user may run")
    folder = Path(tempfile.mkdtemp(prefix="compute-enter-"))
    program = folder / "enter.py"
    shutil.copy(enter.__file__, program)
    for name in ("job", "checkpoint", "root"):
        (folder / name).mkdir()
    (folder / "environment").write_text("")
    (folder / "secret").write_text("s3cret")
    (folder / "filter").write_bytes(seccomp_filter())
    uid = os.geteuid() if os.geteuid() else NOBODY
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
        os.chown(path, uid, uid)

    if drop:
        monkeypatch.setattr(layout, "python_paths", tuple)  # root's own are closed to others

    def enter_it(script: str, **changes: Any) -> Any:
        host = layout.Host(uid, mask=(folder / "secret",))
        mounts = layout.shared(host, 2**24)
        if drop:  # the masks below a home that is closed to this user it would not have found
            mounts = [mount for mount in mounts if not mount.target.startswith("/root/")]
        mounts += layout.private(folder / "job", folder / "checkpoint", folder / "environment")
        plan = {
            "root": str(folder / "root"),
            "mounts": [asdict(mount) for mount in mounts],
            "hostname": "seat-0",
            "filter": str(folder / "filter"),
            "user": uid,
            **changes,
        }
        (folder / "plan").write_text(json.dumps(plan))
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if drop else {}
        return subprocess.run(
            [python, "-IS", str(program), str(folder / "plan"), "/bin/sh", "-c", script],
            env={"PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            **who,  # type: ignore[call-overload]  # passed through
        )

    probe = enter_it("true")
    failed = (folder / "failed").read_text()
    need(probe.returncode == 0, f"namespaces are not permitted here: {failed}{probe.stderr}")
    enter_it.folder = folder  # type: ignore[attr-defined]
    yield enter_it
    shutil.rmtree(folder)


def test_the_command_runs_in_a_world_of_its_own(run: Enter) -> None:
    interfaces = "tail -n +3 /proc/net/dev | cut -d: -f1"
    done = run(f"hostname; id -u; {interfaces}; ls -d /proc/[0-9]* | wc -l; pwd")
    name, uid, net, processes, *rest = done.stdout.split()
    assert (name, net) == ("seat-0", "lo")
    assert int(uid) != 0
    assert int(processes) <= 6
    assert run("exit 7").returncode == 7
    assert run("kill -TERM $$").returncode == 143
    assert rest[-1] == "/"


@pytest.mark.parametrize(
    "attempt",
    [
        "touch /etc/x", "touch /usr/x", "touch /x", "touch /root/x", "mkdir /dev/x",
        "mount -t tmpfs none /job", "umount /proc", "mount -o remount,rw /usr",
        "unshare -U true", "unshare -m true", "chroot /job /bin/true",
        "echo 1 >/proc/sys/kernel/hostname", "echo c >/proc/sysrq-trigger",
        "mknod /job/sda b 8 0", "cat /etc/shadow | grep .", "kill -0 100000",
        "nsenter -t 1 -m true", "ping -c1 -W1 1.1.1.1",
    ],
)  # fmt: skip
def test_no_attempt_to_reach_out_succeeds(run: Enter, attempt: str) -> None:
    done = run(f"({attempt}) >/dev/null 2>&1 && echo got out")
    assert "got out" not in done.stdout


def test_secrets_are_masked_and_the_seats_own_folders_are_kept(run: Enter) -> None:
    done = run(f"cat {run.folder}/secret; echo kept >/job/mine; echo saved >/checkpoint/mine")
    assert "s3cret" not in done.stdout
    assert (run.folder / "job/mine").read_text() == "kept\n"
    assert (run.folder / "checkpoint/mine").read_text() == "saved\n"


def test_it_has_no_rights_left(run: Enter) -> None:
    status = dict(line.split(":", 1) for line in run("cat /proc/self/status").stdout.splitlines())
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"


def test_all_it_started_ends_with_it(run: Enter) -> None:
    mark = f"sleep 98{os.getpid()}"
    run(f"setsid {mark} & setsid {mark} & sleep 0.2; exit 0")
    found = subprocess.run(["pgrep", "-f", mark], capture_output=True, text=True, check=False)
    assert found.stdout == ""


def test_what_went_wrong_is_written_beside_the_plan(run: Enter) -> None:
    nowhere = {"kind": "read", "target": "/x", "source": "/no/such", "mode": 0, "size": 0}
    assert run("true", mounts=[nowhere]).returncode == 125
    assert "/no/such" in (run.folder / "failed").read_text()
