"""What threads share must be whole before they meet it: msgspec's knowledge of classes is not.

msgspec learns a class at its first use, and shows others what it has learned of it half way: who
then decodes by it crashes the process. So classes are learned when modules are imported.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("agents", "api", "cli", "domain", "infra", "processors", "projections")
LEARNERS = ("msgspec.convert", "msgspec.json.decode", "msgspec.json.Decoder")
LEARNED = {
    "infra/codec.py": "the classes of all events; others only in tests",
    "projections/view.py": "the rows of all read models, by themselves",
    "api/outlook.py": "WaitReason: in an event",
    "api/policy.py": "SchedulerSettings, Cohort: in events",
    "api/configuration.py": "SchedulerSettings, PreemptionRules, Cohort: in events",
    "processors/audit/whatif.py": "SchedulerSettings: in an event",
    "processors/audit/__main__.py": "a process without threads",
}
"""Files whose functions name a class to msgspec, and where it was learned before."""
TOGETHER = """
import sys, threading
{imports}
sys.setswitchinterval(1e-6)
meet = threading.Barrier(8)
def run(number):
    things = {things}
    meet.wait()
    for thing in things[5 * number:] + things[: 5 * number]:
        try:
            {use}
        except Exception:  # of nothing else than what is read: it is made up
            pass
threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("whole")
"""
STATE = b'{"actor":"","cause":"","correlation":"","project":null,"epoch":null,"data":{}}'
EVENTS = {
    "imports": f"from domain import event\nfrom infra import codec\nSTATE = {STATE!r}",
    "things": "list(event.events())",
    "use": "codec.from_stored(1, 'a/b', 1, thing, STATE, 0)",
}
ROWS = {
    "imports": "from projections.catalogue import VIEWS",
    "things": "[(view, name) for view in VIEWS for name in view.row.__struct_fields__]",
    "use": "thing[0].read({thing[1]: {}})",
}


def together(what: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A new process whose threads all use these things for the first time at once."""
    program = TOGETHER.format(**what)
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_threads_may_read_their_first_events_at_once() -> None:
    for _ in range(3):
        assert together(EVENTS).stdout == "whole\n"


def test_threads_may_read_their_first_rows_at_once() -> None:
    for _ in range(3):
        assert together(ROWS).stdout == "whole\n"


def learners(path: Path) -> Iterator[int]:
    """The lines in functions of a file that name a class to msgspec."""
    for outer in ast.walk(ast.parse(path.read_text())):
        if not isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(outer):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            named = len(node.args) > 1 or node.keywords or called == "msgspec.json.Decoder"
            if called in LEARNERS and named:
                yield node.lineno


def test_no_function_has_msgspec_learn_a_class() -> None:
    """Make the decoder at the top of the module, or say in LEARNED where the class is known."""
    found = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if any(learners(path))
    }
    assert found == LEARNED.keys()
