"""`compute run`: a command as a job, from submission to its exit code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from compute_platform import amounts
from compute_platform.errors import Misused
from compute_platform.session import Session, api_command, at_option, say, write_json, write_lines

if TYPE_CHECKING:
    from compute_platform.shapes import JsonObject


@click.command(context_settings={"ignore_unknown_options": False})
@api_command
@at_option
@click.option("--name", help="Default: taken from the command.")
@click.option("--project", help="Default: COMPUTE_PROJECT, or the only one you have.")
@click.option("--gpus", type=click.FloatRange(min=0), help="GPUs for each replica, or a share: 0.25.")
@click.option("--mig", metavar="PROFILE", help="A MIG instance for each replica: 1g.10gb.")
@click.option("--gpu-type", "gpu_types", multiple=True, help="Acceptable model (repeatable).")
@click.option("--cpu", help="A number or a quantity such as 500m.")
@click.option("--memory", help="A quantity such as 32Gi.")
@click.option("--image", help="Container image; without one it runs on the host's files.")
@click.option("--priority", type=int, help="Higher goes first.")
@click.option("--env", "-e", multiple=True, metavar="K=V", help="K alone takes yours over.")
@click.option("--label", multiple=True, metavar="K=V", help="Free text to find it by.")
@click.option("--replicas", type=click.IntRange(min=1), help="Seats that start together.")
@click.option("--checkpoint-interval", metavar="TIME", help="Save so often: 600, 10m, 1h.")
@click.option("--retries", type=click.IntRange(min=0), help="Run again so often when it fails.")
@click.option("--time-limit", metavar="TIME", help="Stop it after: 3600, 90m, 2d.")
@click.option("--grace", metavar="TIME", help="Time to save when it has to stop.")
@click.option("--min-replicas", type=click.IntRange(min=1), help="Start with so few if need be.")
@click.option("--estimate", metavar="TIME", help="How long it will run, for planning only.")
@click.option("--deadline", metavar="TIME", help="RFC 3339: when it should have ended.")
@click.option("--storage", help="Local storage, a quantity such as 100Gi.")
@click.option("--network-mbps", type=click.IntRange(min=0), help="Network, in Mbit/s.")
@click.option("--pool", "pools", multiple=True, help="Acceptable pool (repeatable).")
@click.option("--select", multiple=True, metavar="K=V", help="Label a node must have.")
@click.option("--where", "constraint", metavar="EXPR", help="Such as 'gpus >= 8 and rack == \"r1\"'.")
@click.option("--tolerate", multiple=True, metavar="TAINT", help="Taint that is accepted.")
@click.option("--near", multiple=True, metavar="K=V", help="Only where jobs with the label run.")
@click.option("--apart", multiple=True, metavar="K=V", help="Only where none with the label runs.")
@click.option("--together", type=click.Choice(["node", "rack", "spine"]), help="All seats in one.")
@click.option("--exclusive", is_flag=True, help="No other job on its nodes.")
@click.option("--no-preempt", is_flag=True, help="Never make room for others.")
@click.option("--accept-when-absent", is_flag=True, help="Even if no node could ever run it yet.")
@click.option("--after", multiple=True, metavar="JOB", help="Start once it succeeded (repeatable).")
@click.option("--after-any", multiple=True, metavar="JOB", help="Start once it ended (repeatable).")
@click.option("--hold", is_flag=True, help="Wait for `compute resume`.")
@click.option("--wait/--detach", "-w/-d", "stay", default=True, help="Stay until it ends, or not.")
@click.option("--dry-run", "dry", is_flag=True, help="Only say what would become of it.")
@click.option("--idempotency-key", "key", help="The same key and options are the same job.")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def run(
    session: Session,
    as_json: bool,
    stay: bool,
    dry: bool,
    key: str | None,
    project: str | None,
    words: tuple[str, ...],
    **options: Any,
) -> None:
    """Run a command as a job, and stay with it until it ends.

    Its output comes on stdout, its progress on stderr, and its exit code becomes this one's.
    With --json its output goes to stderr, and stdout carries the job's JSON at the end. Ctrl-C
    leaves the job running.

    With --dry-run nothing is submitted: the scheduler plans with it, and the exit code says
    whether it starts now (0), would wait (3) or can never run (4). Only there --at has a meaning:
    what would have become of it then.
    """
    if session.at is not None and not dry:
        raise Misused("--at asks about the past: use it with --dry-run.")
    spec = job_spec(words, options)
    spec["project_id"] = project or default_project(session)
    if after := _after(session, options):
        spec["after"] = after
    if dry:
        _dry_run(session, as_json, spec)
        return
    job = session.client.submit(spec, key or str(uuid4()))
    if not stay:
        write_json(job) if as_json else click.echo(job["id"])
        say(f"submitted {spec['name']}; `compute logs -f {job['id']}` follows it")
        return
    say(f"submitted {spec['name']} as {job['id']} in {spec['project_id']}")
    from compute_platform import attend

    click.get_current_context().exit(attend.until_end(session, job["id"], as_json))


def _dry_run(session: Session, as_json: bool, spec: JsonObject) -> None:
    from compute_platform import foretell

    found = session.client.dry_run(spec)
    write_json(found) if as_json else write_lines(foretell.dry_run(found))
    click.get_current_context().exit(foretell.EXIT_CODES[found["forecast"]])


def default_project(session: Session) -> str:
    """The project to submit to when none was named. Misused if it is not clear which."""
    if named := os.environ.get("COMPUTE_PROJECT"):
        return named
    names = [item["id"] for item in session.client.pages("/projects", {}, None)["items"]]
    if len(names) == 1:
        return str(names[0])
    advice = f"Yours: {', '.join(names)}." if names else "`compute projects create NAME` makes one."
    raise Misused("Name a project: --project, or COMPUTE_PROJECT.", advice)


def job_spec(words: tuple[str, ...], options: dict[str, Any]) -> JsonObject:
    """The API's document for the options given; what was not given is left to the server."""
    resources = {
        "gpu": _whole(options["gpus"]),
        "mig": options["mig"],
        "gpu_type": _one_or_list(options["gpu_types"]),
        "cpu": _number(options["cpu"]),
        "memory": options["memory"],
        "storage": _number(options["storage"]),
        "network_mbps": options["network_mbps"],
    }
    interval, retries = options["checkpoint_interval"], options["retries"]
    every = None if interval is None else amounts.parse_duration(interval)
    spec = {
        "name": options["name"] or default_name(words),
        "command": list(words),
        "docker_image": options["image"],
        "resources": _given(resources) or None,
        "priority": options["priority"],
        "replicas": options["replicas"],
        "env": _pairs("--env", options["env"], os.environ) or None,
        "labels": _pairs("--label", options["label"], {}) or None,
        "checkpointing": None
        if every is None
        else {"enable_checkpointing": True, "checkpoint_interval_seconds": every},
        "retry": None if retries is None else {"max_retries": retries},
        "time_limit_seconds": _seconds(options["time_limit"]),
        "grace_seconds": _seconds(options["grace"]),
        "hold": True if options["hold"] else None,
        "where": _where(options) or None,
        "estimate_seconds": _seconds(options["estimate"]),
        "deadline": options["deadline"],
        "min_replicas": options["min_replicas"],
        "preemptible": False if options["no_preempt"] else None,
        "accept_when_absent": True if options["accept_when_absent"] else None,
    }
    return _given(spec)


def _after(session: Session, options: dict[str, Any]) -> list[JsonObject]:
    from compute_platform.resolve import job_id

    return [
        {"job": job_id(session.client, text), "on": on}
        for option, on in (("after", "ok"), ("after_any", "any"))
        for text in options[option]
    ]


def _where(options: dict[str, Any]) -> JsonObject:
    affinity = [
        {"label": label, "value": value, "avoid": option == "apart"}
        for option in ("near", "apart")
        for label, value in _pairs(f"--{option}", options[option], {}).items()
    ]
    where = {
        "pools": list(options["pools"]) or None,
        "selector": _pairs("--select", options["select"], {}) or None,
        "constraint": options["constraint"],
        "tolerations": list(options["tolerate"]) or None,
        "affinity": affinity or None,
        "together": options["together"],
        "together_required": True if options["together"] else None,
        "exclusive": True if options["exclusive"] else None,
    }
    return _given(where)


def default_name(words: tuple[str, ...]) -> str:
    """A name from the command: the script it runs, else the program."""
    script = next((word for word in words[1:] if word.endswith((".py", ".sh"))), words[0])
    stem = os.path.basename(script)  # noqa: PTH119 - pathlib is slow to import
    stem = stem.removesuffix(".py").removesuffix(".sh").lower()
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem)
    return safe[:63].strip("._-") or "job"


def _given(document: JsonObject) -> JsonObject:
    return {name: value for name, value in document.items() if value is not None}


def _seconds(text: str | None) -> int | None:
    return None if text is None else amounts.parse_duration(text)


def _whole(number: float | None) -> float | int | None:
    return int(number) if number is not None and number.is_integer() else number


def _number(text: str | None) -> str | int | None:
    return int(text) if text is not None and text.isdecimal() else text


def _one_or_list(names: tuple[str, ...]) -> str | list[str] | None:
    if len(names) > 1:
        return list(names)
    return names[0] if names else None


def _pairs(option: str, texts: tuple[str, ...], default: Any) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or (not equals and name not in default):
            raise Misused(f"{option} {text!r}: write it as NAME=VALUE.")
        pairs[name] = value if equals else default[name]
    return pairs
