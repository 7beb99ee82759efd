"""Node leases in memory: the rules of `infra.leases`, which `test_ports.py` holds it to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from domain.errors import Conflict, StaleWriter
from infra.leases import MARGIN_MS


@dataclass
class Row:
    """One node's lease; `expires_at` in microseconds of the cell's clock."""

    boot: str
    nonce: str
    previous_nonce: str
    expires_at: int
    lost: bool = False


class MemoryLeases:
    """Who may act as a node, and until when."""

    def __init__(self, clock: Callable[[], int], wait_ms: int | None = None) -> None:
        self._clock = clock
        self._wait_ms = wait_ms
        self.rows: dict[str, Row] = {}

    def _end(self, ttl_ms: int) -> int:
        return self._clock() + 1000 * (self._wait_ms or ttl_ms + MARGIN_MS)

    def take(self, node: str, boot: str, nonce: str, ttl_ms: int) -> None:
        """Begin a lease for this boot of the node; Conflict while another boot's still runs."""
        row = self.rows.get(node)
        if row is not None:
            mine = row.boot == boot or row.expires_at < self._clock()
            if not mine or (row.lost and row.nonce):
                raise Conflict("node_taken", "another machine acts as the node", node=node)
        self.rows[node] = Row(boot, nonce, nonce, self._end(ttl_ms))

    def renew(self, node: str, boot: str, nonce: str, fresh: str, ttl_ms: int) -> None:
        """Go on with a lease by its last nonce, or the one before if the answer was lost."""
        row = self.rows.get(node)
        if (
            row is None
            or row.boot != boot
            or row.lost
            or nonce not in (row.nonce, row.previous_nonce)
            or row.expires_at <= self._clock()
        ):
            raise StaleWriter("stale_lease", "the lease is over")
        self.rows[node] = Row(boot, fresh, nonce, self._end(ttl_ms))

    def expire(self) -> list[tuple[str, str]]:
        """Close leases that ran out; all (node, boot) whose loss is not settled yet."""
        now = self._clock()
        for row in self.rows.values():
            row.lost = row.lost or row.expires_at < now
        return [(n, row.boot) for n, row in sorted(self.rows.items()) if row.lost and row.nonce]

    def settle(self, node: str, boot: str) -> None:
        """The loss is recorded in the log: do not report it again."""
        row = self.rows.get(node)
        if row is not None and row.boot == boot and row.lost:
            row.nonce = row.previous_nonce = ""
