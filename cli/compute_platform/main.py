"""The command `compute`: its table of commands, and what holds for all of them.

`python -m compute_platform.main` without a command is the development server (`compute up`).
"""

from __future__ import annotations

import sys

import click

from compute_platform import __version__, exits
from compute_platform.errors import ClientError
from compute_platform.lazy import LazyGroup, Section
from compute_platform.session import connection_options, say

_AT = "compute_platform.commands."
_SECTIONS: dict[str, Section] = {
    "Jobs": {
        "run": (_AT + "run:run", "Run a command as a job, and stay with it until it ends."),
        "submit": (_AT + "submit:submit", "Submit jobs that a file describes."),
        "ps": (_AT + "ps:ps", "List jobs."),
        "job": (_AT + "job:job", "Show one job with its history."),
        "why": (_AT + "job:why", "Say why a job waits, or what became of it."),
        "logs": (_AT + "logs:logs", "Print a job's output."),
        "wait": (_AT + "wait:wait", "Wait for a job to end, or to come to a phase."),
        "cancel": (_AT + "control:cancel", "Stop jobs for good."),
        "suspend": (_AT + "control:suspend", "Stop jobs for now, saving their work."),
        "resume": (_AT + "control:resume", "Let suspended or held jobs go on."),
        "requeue": (_AT + "control:requeue", "Put jobs back into the queue."),
        "migrate": (_AT + "control:migrate", "Move running jobs to other nodes, saving their work."),
        "priority": (_AT + "control:priority", "Change a job's priority."),
    },
    "Cluster": {
        "nodes": (_AT + "nodes:nodes", "List nodes; cordon, drain and uncordon them."),
        "reservations": (
            _AT + "reservations:reservations",
            "List reservations and maintenance windows; create and cancel them.",
        ),
        "pools": (_AT + "cluster:pools", "Show capacity by kind of node."),
        "queue": (_AT + "cluster:queue", "Show the queue in order, and why it waits."),
        "events": (_AT + "events:events", "Show what happened, in log order."),
        "policy": (
            _AT + "policy:policy",
            "Show, set and compare the policy: scheduler, inventory, sharing tree, prices.",
        ),
    },
    "Projects and access": {
        "projects": (_AT + "projects:projects", "List and change projects, members, quotas, budgets."),
        "usage": (_AT + "usage:usage", "Show what was used, by project, user or job."),
        "cost": (_AT + "usage:cost", "Show what it cost, by project, user or job."),
        "token": (_AT + "token:token", "Create, list and revoke tokens."),
        "whoami": (_AT + "token:whoami", "Show who the token says you are."),
    },
    "Server": {
        "audit": (_AT + "audit:audit", "Recompute, explain and rehearse decisions; verify the log by its signatures."),
        "admin": (_AT + "admin:admin", "Look after the platform: its read models, and events they cannot take."),
        "up": (_AT + "up:up", "Start the platform on this machine."),
    },
}
_ALIASES = {"node": "nodes", "project": "projects", "reservation": "reservations", "tokens": "token"}


class Root(LazyGroup):
    """Turns what can go wrong into messages on stderr and documented exit codes."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ClientError as error:
            first, *others = error.lines()
            say(f"error: {first}")
            for line in others:
                click.echo(line, err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            ctx.exit(exits.INTERRUPTED)


@click.group(
    cls=Root,
    sections=_SECTIONS,
    aliases=_ALIASES,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=exits.help_text(),
)
@connection_options(hidden=False)
@click.version_option(__version__, prog_name="compute")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Run AI and ML work on GPU clusters.

    Jobs are named by id, by its start or end, or by name. Data goes to stdout, everything else
    to stderr. The options below are also understood after a command.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(args: list[str] | None = None) -> None:
    """Run `compute` with these words (default: the program's) and exit."""
    command.main(args, prog_name="compute")


def development_server(args: list[str]) -> None:
    """What `python -m compute_platform.main` does: options alone are those of `compute up`."""
    main(args if args and not args[0].startswith("-") else ["up", *args])


if __name__ == "__main__":
    development_server(sys.argv[1:])
