"""The job's state machine as a page: a diagram and a table, made of the transition table."""

from __future__ import annotations

from domain.job.transitions import ENDED, PLACED, TRANSITIONS, WAITING, Phase

_MEANING = {
    Phase.SUBMITTED: "Accepted; the same transaction queues or holds it.",
    Phase.QUEUED: "Waits for the scheduler, with a typed reason.",
    Phase.HELD: "Not in the queue: held by its user, or until its retry is due.",
    Phase.BLOCKED: "Not in the queue until the jobs it comes after have ended.",
    Phase.STARTING: "Has its whole gang of seats; they are being started.",
    Phase.RUNNING: "Every seat runs.",
    Phase.PREEMPTING: "Asked to save and leave, for a job of higher priority, a drain, a window, or"
    " because it is to run elsewhere.",
    Phase.STOPPING: "Asked to end: cancelled, suspended, requeued, over its time limit, or a"
    " seat of its gang ended badly.",
    Phase.SUSPENDED: "Out of the queue, its checkpoint kept, until resumed.",
    Phase.SUCCEEDED: "Every seat ended with exit code 0.",
    Phase.FAILED: "Ended badly and no retry is left.",
    Phase.CANCELLED: "Ended by its user, or because a job it comes after did not succeed.",
    Phase.TIMED_OUT: "Ended by its time limit, or where its budget had no more for it.",
}


def page() -> str:
    """docs/job-states.md: whoever changes the table writes it anew."""
    arrows: dict[tuple[Phase, Phase], list[str]] = {}
    for (before, event), after in TRANSITIONS.items():
        if before is not after:
            name = event.topic.split(".")[1].replace("_", " ")
            arrows.setdefault((before, after), []).append(name)
    lines = [
        "# The states of a job",
        "",
        "Generated from `domain/job/transitions.py` by `python -m tests.domain.test_diagram`.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        "    [*] --> submitted",
    ]
    for (before, after), names in arrows.items():
        lines.append(f"    {before} --> {after}: {', '.join(sorted(names))}")
    lines += [f"    {phase} --> [*]" for phase in Phase if phase in ENDED]
    lines += ["```", "", "| phase | group | meaning |", "|---|---|---|"]
    for phase in Phase:
        lines.append(f"| `{phase}` | {_group(phase)} | {_MEANING[phase]} |")
    return "\n".join([*lines, ""])


def _group(phase: Phase) -> str:
    groups = {"waiting": WAITING, "placed": PLACED, "ended": ENDED}
    return next((name for name, phases in groups.items() if phase in phases), "new")
