"""A cell in memory that speaks docs/api.md: jobs that follow scripts, and faults on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

NOW = "2026-11-24T08:00:00Z"
SUBMITTED = "2026-11-24T07:56:48Z"  # 3m12s before
STARTED = "2026-11-24T07:00:00Z"
ENDED = frozenset({"succeeded", "failed", "cancelled", "timed_out"})
FIELDS = (
    "name", "project_id", "command", "docker_image", "resources", "checkpointing", "replicas",
    "priority", "env", "labels", "retry", "time_limit_seconds", "grace_seconds", "hold",
    "where", "estimate_seconds", "deadline", "min_replicas", "preemptible",
    "accept_when_absent",
)  # fmt: skip
RESOURCES = ("cpu", "memory", "memory_gb", "gpu", "mig", "gpu_type", "storage", "network_mbps")

SHORT_OF_GPUS: dict[str, Any] = {
    "code": "insufficient_gpu",
    "text": "Not enough GPUs are free. Of 3 nodes: 3 with too few GPUs free.",
    "nodes": 3,
    "nodes_fitting": 0,
    "seats": 1,
    "seats_fitting": 0,
    "blocker": "",
    "excluded": [{"constraint": "gpu", "nodes": 3}],
}
QUEUED: dict[str, Any] = {"phase": "queued", "queue_position": 4, "reason": SHORT_OF_GPUS}
STARTING: dict[str, Any] = {
    "phase": "starting",
    "queue_position": None,
    "reason": None,
    "attempt": 1,
    "nodes": ["node-001"],
}
RUNNING: dict[str, Any] = {"phase": "running", "started_at": STARTED}


def ended(phase: str, code: int | None = None, **more: Any) -> dict[str, Any]:
    """The step of a script that ends the job."""
    outcome = "exited" if code is not None else "stopped"
    facts: dict[str, Any] = {"phase": phase, "exit_code": code, "outcome": outcome, "nodes": []}
    return {**facts, "reason": None, "queue_position": None, "ended_at": NOW, **more}


def document(number: int, **facts: Any) -> dict[str, Any]:
    """A job as the API answers it, with an id that sorts by number."""
    return {
        "id": f"job-01kaxy{number:020d}",
        "name": "training-job",
        "project_id": "ml-research",
        "user": "ada",
        "phase": "queued",
        "priority": 0,
        "inherited_priority": None,
        "attempt": 0,
        "failures": 0,
        "preemptions": 0,
        "command": ["python", "train.py"],
        "docker_image": None,
        "replicas": 1,
        "resources": {
            "cpu_milli": 1000,
            "memory_bytes": 0,
            "gpu": 0,
            "gpu_milli": 0,
            "gpu_types": [],
        },
        "checkpointing": {"enabled": False, "interval_seconds": 3600},
        "labels": {},
        "submitted_at": SUBMITTED,
        "queued_since": SUBMITTED,
        "started_at": None,
        "ended_at": None,
        "outcome": None,
        "exit_code": None,
        "detail": "",
        "nodes": [],
        "reason": None,
        "queue_position": None,
        "due_at": None,
        "stop_deadline": None,
        "preemptor": None,
        "usage": None,
        "position": number,
        "version": 1,
        "not_in_the_contract_yet": True,
        **facts,
    }


class Refused(Exception):
    """An answer of 400 and above."""

    def __init__(self, status: int, code: str, detail: str, **facts: Any) -> None:
        super().__init__(code)
        self.status = status
        self.facts = {"code": code, "detail": detail, **facts}


@dataclass
class Faults:
    """What goes wrong next; numbers count down."""

    busy: int = 0  # requests answered 503
    retry_after: int | None = None
    lost_answers: int = 0  # writes done, their answers never sent
    cuts: list[int] = field(default_factory=list)  # body bytes after which streams break
    undelimited: bool = False  # streams without a length or chunks, as old proxies send them
    silent_end: bool = False  # streams end without `event: end`


@dataclass
class Cell:
    """The state: documents as answered, logs as bytes; `changed` guards and tells of it."""

    token: str = "secret"
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, bytes] = field(default_factory=dict)
    scripts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    answers: dict[str, tuple[str, int, dict[str, Any]]] = field(default_factory=dict)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    changed: threading.Condition = field(default_factory=threading.Condition)
    closed: bool = False
    documents: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, *, log: bytes = b"", **facts: Any) -> dict[str, Any]:
        """A job that is there already."""
        job = document(len(self.jobs) + 1, **facts)
        self.jobs[job["id"]] = job
        self.logs[job["id"]] = log
        return job

    def submit(self, spec: dict[str, Any]) -> dict[str, Any]:
        """A new job, or 422 with its field errors."""
        errors = _unknown("", spec, FIELDS) + _unknown(
            "resources.", spec.get("resources") or {}, RESOURCES
        )
        errors += [
            {"field": name, "detail": "Field required", "nearest": None}
            for name in ("name", "project_id", "command")
            if name not in spec
        ]
        if errors:
            text = "; ".join(f"{error['field']}: {error['detail']}" for error in errors)
            raise Refused(422, "invalid_request", text, errors=errors)
        if spec["project_id"] == "nowhere":
            raise Refused(404, "no_such_project", "there is no such project")
        if spec["project_id"] == "spent":
            raise Refused(429, "over_quota", "the project's limit of 1,000 waiting jobs is reached")
        known = ("name", "project_id", "command", "docker_image", "replicas", "priority")
        facts = {name: spec[name] for name in known if name in spec}
        return self.add(**facts, **(QUEUED if not spec.get("hold") else {"phase": "held"}))

    def look(self, job_id: str) -> dict[str, Any]:
        """The job; each look takes its script one step on, as time would."""
        job = self.job(job_id)
        script = self.scripts.get(job["name"])
        if script:
            step = dict(script.pop(0))
            self.logs[job_id] += step.pop("log", b"")
            job.update(step)
            self.changed.notify_all()
        return job

    def job(self, job_id: str) -> dict[str, Any]:
        """The job, or 404."""
        if job_id not in self.jobs:
            raise Refused(404, "no_such_job", "there is no such job")
        return self.jobs[job_id]

    def output(self, job_id: str, offset: int, follow: bool) -> Iterator[bytes]:
        """Pieces of the log as they come, until the job has ended."""
        while True:
            with self.changed:
                over = self.jobs[job_id]["phase"] in ENDED or not follow or self.closed
                piece = self.logs[job_id][offset : offset + 1000]
                if not piece and not over:
                    self.changed.wait(0.05)
            if piece:
                offset += len(piece)
                yield piece
            elif over:
                return

    def control(self, job_id: str, command: str) -> dict[str, Any]:
        """Cancel and the like, or 409."""
        job = self.job(job_id)
        if job["phase"] in ENDED and command != "requeue":
            raise Refused(
                409,
                "wrong_phase",
                f"the job is {job['phase']}; {command} needs one of: queued, running",
            )
        phases = {"cancel": ended("cancelled"), "suspend": {"phase": "suspended"}}
        job.update(phases.get(command, QUEUED))
        self.scripts.pop(job["name"], None)
        self.changed.notify_all()
        return {"id": job_id, "phase": job["phase"]}

    def migrate(self, job_id: str, asked: dict[str, Any] | None) -> dict[str, Any]:
        """A running job waits for room elsewhere, or no longer (None)."""
        job = self.job(job_id)
        if job["phase"] != "running":
            raise Refused(409, "wrong_phase", f"the job is {job['phase']}; migrate needs: running")
        move = {"leaves": job["nodes"], "found": [], "reason": None}
        job["migration"] = None if asked is None else {**move, "to": asked.get("to")}
        return {"id": job_id, "phase": job["phase"]}

    def once(self, key: str, fingerprint: str) -> tuple[int, dict[str, Any]] | None:
        """The saved answer for an idempotency key; 422 if it was for another request."""
        saved = self.answers.get(key)
        if saved is None:
            return None
        if saved[0] != fingerprint:
            raise Refused(422, "key_reused", "Idempotency-Key: it was used for another request")
        return saved[1:]


def _unknown(prefix: str, given: dict[str, Any], known: tuple[str, ...]) -> list[dict[str, Any]]:
    errors = []
    for name in given:
        if name not in known:
            near = next(iter(get_close_matches(name, known, 1, 0.4)), None)
            hint = f"; did you mean {near!r}?" if near else ""
            error = {"field": prefix + name, "detail": f"unknown field{hint}", "nearest": near}
            errors.append(error)
    return errors


def fingerprint(method: str, path: str, body: Any) -> str:
    """What an idempotency key stands for."""
    return f"{method} {path} {json.dumps(body, sort_keys=True)}"
