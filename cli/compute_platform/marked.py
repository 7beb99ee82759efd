"""YAML (and so JSON) documents that know in which line each field stands."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compute_platform.errors import ClientError, Misused, Refused
from compute_platform.exits import REFUSED

if TYPE_CHECKING:
    from yaml.nodes import Node


class Wrong(ClientError):
    """A document that says what cannot be, each line with its place in the file."""

    exit_code = REFUSED

    def __init__(self, found: list[str], request_id: str = "") -> None:
        tail = f"  request id: {request_id}" if request_id else ""
        super().__init__("Nothing was changed.", "\n".join(filter(None, [*found, tail])))
        self._found = found

    def lines(self) -> list[str]:
        return [*self._found, "  Nothing was changed: mend the file, then send it again."]


class Document:
    """One mapping, read from a file (`-`: standard input). Misused if it is none."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._marks: dict[str, tuple[int, int]] = {}
        text = _text(place)
        yaml = _yaml(place)
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
            if root is not None:
                self._mark("", root)
            self.fields = yaml.safe_load(text) or {}
            json.dumps(self.fields)  # what YAML can say and JSON cannot, such as dates
        except yaml.YAMLError as error:
            raise Misused(f"{place}: not YAML: {' '.join(str(error).split())}") from None
        except (TypeError, ValueError) as error:
            raise Misused(f"{place}: {error}", "Put dates and the like in quotes.") from None
        except RecursionError:
            raise Misused(f"{place}: nested too deeply, or in itself") from None
        if not isinstance(self.fields, dict):
            raise Misused(f"{place}: this is no mapping of names to values.")

    def at(self, field: str) -> str:
        """The place of a field, or of the nearest field around it: `FILE:LINE:COLUMN`."""
        path = field.replace("[", ".").replace("]", "")
        while path and path not in self._marks:
            path = path.rpartition(".")[0]
        line, column = self._marks.get(path, (1, 1))
        return f"{self.place}:{line}:{column}"

    def wrong(self, refused: Refused) -> Wrong:
        """The server's refusal, each field with its place."""
        found = []
        for error in refused.errors or [{"field": "", "detail": refused.what}]:
            field, detail = str(error.get("field") or ""), str(error.get("detail") or "")
            text = detail if detail.startswith(field) else f"{field}: {detail}"
            found.append(f"{self.at(field)}: {text}")
        return Wrong(found, refused.request_id)

    def _mark(self, path: str, node: Node) -> None:
        """Note where every field below begins; refuse one that is given twice."""
        from yaml.nodes import MappingNode, SequenceNode

        if isinstance(node, MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                name, mark = str(key.value), key.start_mark
                inner = f"{path}.{name}".lstrip(".")
                self._marks.setdefault(inner, (mark.line + 1, mark.column + 1))
                if name in seen:
                    line = f"{self.place}:{mark.line + 1}:{mark.column + 1}: {inner}: given twice"
                    raise Wrong([line])
                seen.add(name)
                self._mark(inner, value)
        elif isinstance(node, SequenceNode):
            for number, value in enumerate(node.value):
                inner, mark = f"{path}.{number}", value.start_mark
                self._marks.setdefault(inner, (mark.line + 1, mark.column + 1))
                self._mark(inner, value)


def text_of(fields: Any) -> str:
    """The fields as YAML; as JSON, which is YAML too, where PyYAML is missing."""
    try:
        import yaml
    except ImportError:
        return json.dumps(fields, indent=2) + "\n"
    return str(yaml.safe_dump(fields, sort_keys=False, default_flow_style=None, width=120))


def _text(place: str) -> str:
    try:
        return sys.stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"The file cannot be read: {error}") from None


def _yaml(place: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise Misused(
            f"{place}: YAML cannot be read here.", "Install PyYAML (`pip install pyyaml`)."
        ) from None
    return yaml
