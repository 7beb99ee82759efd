"""`python -m demo`: start the platform, tell the story, in containers too if Docker answers."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from agents.gpus import discover
from demo.cell import Platform
from demo.image import demo_image, docker_answers
from demo.story import FAKE, Gpus, say, tell


def main() -> None:
    """Exit 0 if every claim of the story holds."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of training (at least)")
    parser.add_argument("--no-docker", action="store_true", help="not in containers")
    parser.add_argument(
        "--real-gpus",
        action="store_true",
        help="on this machine's own GPUs, with PyTorch, instead of two pretended ones",
    )
    parser.add_argument(
        "--kill",
        choices=("api", "processors", "agent"),
        help="kill -9 this process at every moment of the story",
    )
    options = parser.parse_args()
    began = time.monotonic()
    gpus = _real_gpus() if options.real_gpus else FAKE
    with (
        tempfile.TemporaryDirectory(prefix="compute-demo-") as folder,
        Platform(
            Path(folder) / "data", "" if gpus.real else f"{gpus.count}x{gpus.model}"
        ) as platform,
    ):
        client = platform.client()
        say(f"The platform runs on port {platform.port}: Postgres, API, processors, agent")
        tell(client, seconds=options.seconds, gpus=gpus, disturb=_disturb(platform, options.kill))
        if options.no_docker or gpus.real:
            say("\nContainers are left out")
        elif not docker_answers():
            say("\nNo Docker engine answers: containers are left out")
        else:
            say("\nThe same once more in containers")
            tell(client, seconds=options.seconds, image=demo_image())
    say(f"\nEverything above was checked. It took {time.monotonic() - began:.0f} s.")


def _real_gpus() -> Gpus:
    """The GPUs of this machine; exit with the reason if it has none."""
    found = discover((), "")
    if not found:
        raise SystemExit("--real-gpus: no NVIDIA GPU answers on this machine")
    return Gpus(found[0].model, len(found), real=True, memory_gb=8)


def _disturb(platform: Platform, name: str | None) -> Callable[[str], None]:
    def disturb(moment: str) -> None:
        if name is not None:
            say(f"    (kill -9 {name}, {moment})")
            platform.kill(name)

    return disturb


if __name__ == "__main__":
    main()
