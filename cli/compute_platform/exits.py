"""The exit codes of `compute`; docs/cli.md and `compute --help` list them.

`run` and `wait` pass a job's own code through, so the command's own codes keep to numbers that
programs seldom use: those of sysexits.h, and 124 as timeout(1) has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compute_platform.shapes import Job

FINE = 0
OTHER_END = 1  # `wait --for=X`: the job ended well, but never came to X
DIFFERENT = 1  # `audit replay`: a decision did not come out again; `policy diff`: it differs
USAGE = 2
WOULD_WAIT = 3  # `run --dry-run`
CAN_NEVER_RUN = 4  # `run --dry-run`
REFUSED = 65
NOT_FOUND = 66
UNAVAILABLE = 69
UNEXPECTED = 70
STILL_WAITING = 75
UNAUTHORISED = 77
TIMED_OUT = 124
CANCELLED = 125
FAILED_WITHOUT_CODE = 126
INTERRUPTED = 130

TABLE = {
    FINE: "fine; for run and wait: the job succeeded",
    OTHER_END: "wait --for: the job never came to that phase; audit replay, policy diff: a difference",
    USAGE: "wrong usage, or no address or token given",
    WOULD_WAIT: "run --dry-run: it would wait",
    CAN_NEVER_RUN: "run --dry-run: it can never run as it asks",
    REFUSED: "refused by the server (conflict, invalid field, quota)",
    NOT_FOUND: "no such thing, or not visible to you",
    UNAVAILABLE: "server out of reach or unavailable",
    UNEXPECTED: "an answer that makes no sense, or a server error",
    STILL_WAITING: "wait --timeout is over and the job is not there yet",
    UNAUTHORISED: "no valid token, or no permission",
    TIMED_OUT: "run, wait: the job reached its time limit",
    CANCELLED: "run, wait: the job was cancelled",
    FAILED_WITHOUT_CODE: "run, wait: the job failed without an exit code",
    INTERRUPTED: "interrupted by Ctrl-C; the job goes on",
}

ENDED = frozenset({"succeeded", "failed", "cancelled", "timed_out"})
"""The phases a job does not leave by itself."""

_OUTCOMES = {"succeeded": FINE, "cancelled": CANCELLED, "timed_out": TIMED_OUT}


def of_job(job: Job) -> int:
    """The exit code that stands for how a job ended: its own where it failed with one."""
    if job["phase"] in _OUTCOMES:
        return _OUTCOMES[job["phase"]]
    code = job.get("exit_code")
    return code if code is not None and 0 < code < 256 else FAILED_WITHOUT_CODE


def help_text() -> str:
    """The table for `--help`; \\b keeps click from filling the lines."""
    rows = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in TABLE.items())
    return f"\b\nExit codes:\n  run and wait end with the job's own code.\n{rows}"
