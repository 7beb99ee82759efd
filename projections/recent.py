"""Rows that were touched lately, kept in memory: they need not be read again to be folded on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from projections.view import Changes, Key, R, Reader, Row, View


class _Kept:
    """Rows by key, in two generations: when the young ones are many, the old ones are let go."""

    def __init__(self, most: int) -> None:
        self._half = -(-most // 2)
        self.young: dict[Key, Any] = {}
        self.old: dict[Key, Any] = {}

    def get(self, key: Key) -> Any:
        row = self.young.get(key)
        return self.old.get(key) if row is None else row

    def put(self, key: Key, row: Row) -> None:
        self.young[key] = row
        if len(self.young) >= self._half:
            self.young, self.old = {}, self.young

    def drop(self, key: Key) -> None:
        self.young.pop(key, None)
        self.old.pop(key, None)


class Recent:
    """The rows as this writer left them, for as long as nobody else wrote.

    Whoever writes rows of a read model moves its position in the same transaction. So `check` is
    told first which version of the position is there, and `wrote` at last which one this writer
    left; where they differ, the rows are forgotten. `forget` all when a transaction fails.
    """

    def __init__(self, most: int) -> None:
        """`most` is how many rows are kept of a read model."""
        self._most = most
        self._rows: dict[str, _Kept] = {}
        self._marks: dict[str, str] = {}

    def check(self, marks: Mapping[str, str]) -> None:
        """Forget the rows of read models whose mark is not the one that was left."""
        for name, mark in marks.items():
            if self._marks.get(name) != mark:
                self._rows.pop(name, None)

    def wrote(self, marks: Mapping[str, str]) -> None:
        """What was kept since `check` is so in the tables under these marks."""
        self._marks.update(marks)

    def forget(self) -> None:
        """Rely on the tables alone."""
        self._rows.clear()
        self._marks.clear()

    def load(self, view: View[R], connection: Reader, keys: Sequence[Key]) -> dict[Key, R]:
        """The rows of these keys, as far as they exist; those not kept are read."""
        kept = self._of(view)
        found, missing = dict[Key, R](), list[Key]()
        for key in keys:
            row = kept.get(key)
            if row is None:
                missing.append(key)
            else:
                found[key] = row
        if missing:
            found |= view.load(connection, missing)
        return found

    def keep(self, view: View[R], changes: Changes[R]) -> None:
        """Rows as they are written now; those that are over are not asked for any more."""
        kept = self._of(view)
        for key in changes.before.keys() - changes.after.keys():
            kept.drop(key)
        for key, row in changes.after.items():
            if view.over(row):
                kept.drop(key)
            else:
                kept.put(key, row)

    def _of(self, view: View[Any]) -> _Kept:
        kept = self._rows.get(view.name)
        if kept is None:
            kept = self._rows[view.name] = _Kept(self._most)
        return kept
