"""The story: a long job is preempted, resumes from its checkpoint, and everybody can check it."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compute_platform.client import Client
from demo.checks import check, check_bill, check_epochs, check_grace

TRAIN = Path(__file__).parent / "train.py"
PROJECT = "ml-research"
GRACE_SECONDS = 15
TIMEOUT = 240.0
URGENT = "import time; print('urgent evaluation'); time.sleep(3); print('done')"


@dataclass(frozen=True)
class Gpus:
    """What the jobs ask for, all there are; whether they are real, so that one can train on them.

    `memory_gb` is the main memory that training takes.
    """

    model: str = "A100"
    count: int = 2
    real: bool = False
    memory_gb: int = 1

    @property
    def resources(self) -> dict[str, Any]:
        """As a submission names them."""
        return {"cpu": 1, "gpu": self.count, "gpu_type": self.model}


FAKE = Gpus()


def say(text: str = "") -> None:
    """A line of the story."""
    print(text, flush=True)


class Output:
    """Follows a job's output in the background, shows it, and keeps it."""

    def __init__(self, client: Client, job: str, prefix: str) -> None:
        self.data = b""
        self._follow = threading.Thread(target=self._run, args=(client, job, prefix), daemon=True)
        self._follow.start()

    def _run(self, client: Client, job: str, prefix: str) -> None:
        shown = 0
        for piece in client.logs(job, follow=True):
            self.data += piece
            *whole, _ = self.data.split(b"\n")
            for line in whole[shown:]:
                say(f"    {prefix} | {line.decode(errors='replace')}")
            shown = len(whole)

    def text(self) -> str:
        """All of it, once the job has ended."""
        self._follow.join(TIMEOUT)
        check(not self._follow.is_alive(), "the log stream ended with the job")
        return self.data.decode()

    def wait_for(self, pattern: str) -> None:
        """Return when the output so far matches."""
        deadline = time.monotonic() + TIMEOUT
        while not re.search(pattern, self.data.decode(errors="replace")):
            if time.monotonic() > deadline or not self._follow.is_alive():
                raise SystemExit(f"NOT TRUE: the job prints {pattern!r}")
            time.sleep(0.05)


def training_job(seconds: float, image: str | None, gpus: Gpus) -> dict[str, Any]:
    """All GPUs, a checkpoint every 5 seconds, preemptible."""
    python, script = (sys.executable, str(TRAIN)) if image is None else ("python3", "/train.py")
    options = ["--gpu"] if gpus.real else []
    spec: dict[str, Any] = {
        "name": "train-digits",
        "project_id": PROJECT,
        "command": [python, script, "--seconds", str(seconds), *options],
        "resources": {**gpus.resources, "memory_gb": gpus.memory_gb},
        "env": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        "checkpointing": {"enable_checkpointing": True, "checkpoint_interval_seconds": 5},
        "grace_seconds": GRACE_SECONDS,
    }
    return spec if image is None else spec | {"docker_image": image}


def urgent_job(image: str | None, gpus: Gpus) -> dict[str, Any]:
    """The same GPUs, for a short time, at a higher priority."""
    python = sys.executable if image is None else "python3"
    spec: dict[str, Any] = {
        "name": "urgent-evaluation",
        "project_id": PROJECT,
        "command": [python, "-u", "-c", URGENT],
        "priority": 500,
        "resources": gpus.resources,
    }
    return spec if image is None else spec | {"docker_image": image}


def tell(
    client: Client,
    *,
    seconds: float = 20.0,
    image: str | None = None,
    gpus: Gpus = FAKE,
    disturb: Callable[[str], None] = lambda _: None,
) -> None:
    """Run the story and check every claim; `disturb` is called with the name of each moment."""
    say(f"1. A training job of {seconds:.0f} s is submitted" + (f" in {image}" if image else ""))
    first = client.submit(training_job(seconds, image, gpus))["id"]
    disturb("submitted")
    output = Output(client, first, "train")
    output.wait_for(r"epoch \d+")
    disturb("training")
    _wait("a checkpoint", lambda: client.checkpoints(first)["items"])
    if gpus.real:
        _look(client, first)
    say("2. A job of higher priority arrives and needs the same GPUs")
    urgent = client.submit(urgent_job(image, gpus))["id"]
    disturb("preempting")
    asked = _wait(
        "a reason",
        lambda: [m for m in _history(client, urgent) if "explained" in m["name"]],
    )
    say(f"    why does it wait? {asked[0]['text']}")
    ended = client.wait(urgent, timeout=TIMEOUT)
    check(ended["phase"] == "succeeded", f"the urgent job succeeded (it {ended['phase']})")
    say("3. The first job goes on from its checkpoint")
    disturb("resuming")
    done = client.wait(first, timeout=TIMEOUT)
    check(done["phase"] == "succeeded", f"the training job succeeded (it {done['phase']})")
    check(done["preemptions"] >= 1, "it was preempted")
    _account(client, first, urgent, output.text())


def _look(client: Client, job: str) -> None:
    """The training is seen on the GPU by the platform, which reads it every few seconds."""

    def busy() -> list[dict[str, Any]]:
        seats = client.job(job)["usage"] or ()
        return [use for seat in seats for use in seat["gpus"] if use.get("util_percent")]

    for use in _wait("GPU at work", busy):
        used = use["memory_bytes"] / 2**20
        say(f"    {use['device']} is busy at {use['util_percent']} %, {used:.0f} MiB in use")


def _account(client: Client, first: str, urgent: str, text: str) -> None:
    say("4. What happened to the first job, from the event log")
    events = client.read(f"/jobs/{first}/events")["items"]
    for event in events:
        say(f"    {event['position']:>5} {event['recorded_at'][11:23]} {event['name']:<34}")
    say("5. Why it waited")
    for moment in _history(client, first):
        if moment["name"].startswith(("job.wait", "job.preempt", "job.queued")):
            say(f"    {moment['at'][11:19]} {moment['text']}")
    say("6. What the two jobs cost")
    prices = client.read("/policy/prices")
    for job in (first, urgent):
        bill = client.job_cost(job)
        micro = bill["total_micro"]
        say(f"    {job} {micro // 10**6}.{micro % 10**6:06d} {bill['currency']}")
        check_bill(client.read(f"/jobs/{job}/events")["items"], prices, bill)
    say("7. Checks")
    for fact in (*check_epochs(text), check_grace(events, GRACE_SECONDS)):
        say(f"    {fact}")
    say("    each bill equals the sum over the allocation intervals in the log")


def _history(client: Client, job: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.read(f"/jobs/{job}/why")["history"]
    return found


def _wait(what: str, look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + TIMEOUT
    while not (found := look()):
        if time.monotonic() > deadline:
            raise SystemExit(f"there was no {what} in {TIMEOUT:.0f} s")
        time.sleep(0.1)
    return found
