"""Node leases in memory: the rules of `infra.leases`, which `test_ports.py` holds it to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from domain.errors import Conflict, StaleWriter
from infra.leases import MARGIN_MS
from infra.recorder import Session
from tests.simulation.guards import Guard

WITHOUT_WAIT_MS = 6000


@dataclass
class Row:
    """One node's lease; `expires_at` in microseconds of the cell's clock."""

    boot: str
    nonce: str
    previous_nonce: str
    expires_at: int
    session: str
    lost: bool = False


class MemoryLeases:
    """Who may act as a node, and until when."""

    def __init__(
        self,
        clock: Callable[[], int],
        off: frozenset[Guard] = frozenset(),
    ) -> None:
        self._clock = clock
        self._off = off
        self.rows: dict[str, Row] = {}

    def _end(self, ttl_ms: int) -> int:
        early = Guard.LEASE_WAIT in self._off
        return self._clock() + 1000 * (WITHOUT_WAIT_MS if early else ttl_ms + MARGIN_MS)

    def take(self, node: str, boot: str, nonce: str, ttl_ms: int) -> str:
        """Begin a lease for this boot of the node; Conflict while another boot's still runs."""
        session = f"{boot}/{nonce[:12]}" if Guard.SESSION not in self._off else boot
        row = self.rows.get(node)
        if row is not None:
            mine = row.boot == boot or row.expires_at < self._clock()
            unsettled = row.lost and row.nonce
            if not mine or unsettled:
                raise Conflict("node_taken", "another machine acts as the node", node=node)
            if row.boot == boot and not row.lost:
                session = row.session
        self.rows[node] = Row(boot, nonce, nonce, self._end(ttl_ms), session)
        return session

    def renew(self, node: str, boot: str, nonce: str, fresh: str, ttl_ms: int) -> str:
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
        self.rows[node] = Row(boot, fresh, nonce, self._end(ttl_ms), row.session)
        return row.session

    def session(self, node: str, boot: str) -> str:
        """The session of this boot of the node; the boot itself where it holds no lease."""
        row = self.rows.get(node)
        return row.session if row is not None and row.boot == boot else boot

    def holds(self, session: Session) -> bool:
        """Whether the node's lease is the one it began, as `assert_session` sees it."""
        row = self.rows.get(session.node)
        return row is not None and row.nonce == session.nonce and not row.lost

    def expire(self) -> list[tuple[str, str]]:
        """Close leases that ran out; all (node, session) whose loss is not settled yet."""
        now = self._clock()
        for row in self.rows.values():
            row.lost = row.lost or row.expires_at < now
        return [(n, row.session) for n, row in sorted(self.rows.items()) if row.lost and row.nonce]

    def next_end(self) -> int | None:
        """When the next lease runs out that is not settled; it may be over."""
        ends = (row.expires_at for row in self.rows.values() if not row.lost or row.nonce)
        return min(ends, default=None)

    def copy(self) -> dict[str, Row]:
        """What a standby has that got everything so far."""
        return {node: replace(row) for node, row in self.rows.items()}

    def settle(self, node: str, session: str) -> None:
        """The loss is recorded in the log: do not report it again."""
        row = self.rows.get(node)
        if row is not None and row.session == session and row.lost:
            row.nonce = row.previous_nonce = ""
