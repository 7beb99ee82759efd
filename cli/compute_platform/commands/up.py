"""`compute up`: start the platform on this machine."""

from __future__ import annotations

import os
import sys
from importlib.machinery import PathFinder

import click

from compute_platform.errors import Misused

SERVER = "infra.local"


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
)
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True)
@click.option("--data", default="data", show_default=True, help="Folder for everything it keeps.")
@click.option("--fake-gpus", metavar="NxMODEL", help="Pretend to have GPUs, such as 2xA100.")
@click.option("--no-agent", is_flag=True, help="Without a node: agents are started elsewhere.")
@click.argument("others", nargs=-1, type=click.UNPROCESSED)
def up(
    port: int, data: str, fake_gpus: str | None, no_agent: bool, others: tuple[str, ...]
) -> None:
    """Start the platform on this machine.

    Stays until Ctrl-C, and prints the lines to export for the other commands. Further options
    go to the server as they are.
    """
    if not _installed():
        raise Misused(
            "The server is not installed here; this is only its command line.",
            "Install compute-platform-server into the same environment,"
            " or run this in a checkout of it.",
        )
    options = ["--port", str(port), "--data", data]
    if fake_gpus is not None:
        options += ["--fake-gpus", fake_gpus]
    if no_agent:
        options.append("--no-agent")
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", SERVER, *options, *others])  # noqa: S606 - the server takes this process over


def _installed() -> bool:
    """Whether `python -m infra.local` will find it; nothing of it is imported here."""
    package, _, module = SERVER.partition(".")
    # As `python -m` looks: the current folder first, which an installed script's path lacks.
    found = PathFinder.find_spec(package, [str(os.getcwd()), *sys.path])  # noqa: PTH109 - pathlib is slow to import
    places = None if found is None else found.submodule_search_locations
    return places is not None and PathFinder.find_spec(f"{package}.{module}", places) is not None
