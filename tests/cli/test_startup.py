"""Start-up: what is imported for what, as times cannot be asserted on a shared machine."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from compute_platform.main import command
from tests.cli.cell import Cell
from tests.cli.conftest import ROOT

HEAVY = {
    "asyncio", "compute_platform.client", "concurrent.futures", "dataclasses", "difflib", "email",
    "http.client", "json", "multiprocessing", "pathlib", "random", "shlex", "socket", "ssl",
    "subprocess", "tempfile", "typing_extensions", "urllib.parse", "urllib.request", "yaml",
}  # fmt: skip
PROBE = """
import sys
sys.argv = ["compute", *{words!r}]
from compute_platform.main import main
try:
    main()
except SystemExit as end:
    print(end.code, *sorted(sys.modules), file=sys.stderr)
"""


def _modules(environment: dict[str, str], *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(words=list(words))],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    code, *modules = done.stderr.splitlines()[-1].split()
    assert code == "0", done.stderr
    return set(modules)


def _bare() -> int:
    words = "import sys; print(len(sys.modules))"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, check=True)
    return int(done.stdout)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["ps", "--help"], ["run", "--help"]])
def test_help_imports_little(environment: dict[str, str], words: list[str]) -> None:
    modules = _modules(environment, *words) - {"importlib.metadata"}
    assert modules & HEAVY == set()
    assert not any(name.startswith(("rich", "infra")) for name in modules)
    used = {name for name in modules if name.startswith("compute_platform.commands.")}
    named = words[0] if not words[0].startswith("-") else None
    assert used == ({f"compute_platform.commands.{named}"} if named else set())
    assert len(modules) - _bare() < 100


def test_a_listing_imports_http_and_no_more(environment: dict[str, str], cell: Cell) -> None:
    cell.add()
    modules = _modules(environment, "ps")
    assert "http.client" in modules
    unneeded = {"asyncio", "dataclasses", "urllib.request", "yaml", "difflib"}
    assert modules & unneeded == set()
    assert "compute_platform.follow" not in modules


def test_help_texts_are_those_of_the_commands() -> None:
    """The table in main.py spares the imports, so it must say what the commands say."""
    root = command
    ctx = click.Context(root)
    for section in root.sections.values():
        for name, (_, text) in section.items():
            found = root.get_command(ctx, name)
            assert found is not None
            assert (found.name, found.get_short_help_str(200)) == (name, text)


def test_aliases(environment: dict[str, str]) -> None:
    ctx = click.Context(command)
    for alias, name in command.aliases.items():
        assert command.get_command(ctx, alias) is command.get_command(ctx, name)


def test_both_ways_to_start_it(environment: dict[str, str]) -> None:
    for words in (["-m", "compute_platform"], ["-m", "compute_platform.main"]):
        done = subprocess.run(
            [sys.executable, *words, "whoami"], env=environment, capture_output=True, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        assert b"ada" in done.stdout
