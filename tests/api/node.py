"""A node's side of the agent protocol, one call at a time."""

from __future__ import annotations

import itertools
from typing import Any

import httpx

from domain.access import Role
from tests.api.world import Person, World

_numbers = itertools.count(1)


class Node:
    """A node with GPUs of a model of its own, so that only jobs meant for it land on it."""

    def __init__(self, world: World, gpus: int = 2, boot: str = "boot-1") -> None:
        number = next(_numbers)
        self.world = world
        self.name, self.boot, self.model = f"node-{number}", boot, f"M{number}"
        self.devices = [
            {"id": f"GPU-{number}-{n}", "model": self.model, "memory_bytes": 2**36}
            for n in range(gpus)
        ]
        self.agent: Person = world.person(f"agent-{number}", Role.AGENT, node=self.name)
        self.nonce = ""

    def offer(self, **changes: Any) -> dict[str, Any]:
        """The body of a registration."""
        capacity = {"cpu_milli": 16_000, "memory_bytes": 2**36}
        mine = {"node": self.name, "boot": self.boot, "capacity": capacity, "runners": ["sandbox"]}
        return {**mine, "devices": self.devices, **changes}

    def register(self, **changes: Any) -> httpx.Response:
        """Register, and keep the nonce."""
        answer = self.agent.post("/agent/register", self.offer(**changes))
        if answer.status_code == 200:
            self.nonce = answer.json()["lease"]["nonce"]
        return answer

    def lease(self, **changes: Any) -> httpx.Response:
        """Renew the lease with the last nonce, or another, and keep the new one."""
        body = {"node": self.name, "boot": self.boot, "nonce": self.nonce, **changes}
        answer = self.agent.post("/agent/lease", body)
        if answer.status_code == 200:
            self.nonce = answer.json()["lease"]["nonce"]
        return answer

    def orders(self) -> list[dict[str, Any]]:
        """What the node should be doing now."""
        answer = self.lease()
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["orders"]
        return found

    def report(self, *facts: dict[str, Any], **changes: Any) -> httpx.Response:
        """Report facts."""
        body = {"node": self.name, "boot": self.boot, "facts": facts, **changes}
        return self.agent.post("/agent/report", body)

    def started(self, order: dict[str, Any]) -> dict[str, Any]:
        return {"kind": "started", **_seat(order), "runner": "sandbox"}

    def ended(
        self, order: dict[str, Any], outcome: str = "exited", exit_code: int | None = 0
    ) -> dict[str, Any]:
        return {"kind": "ended", **_seat(order), "outcome": outcome, "exit_code": exit_code}

    def send_log(
        self, order: dict[str, Any], offset: int, data: bytes, **changes: Any
    ) -> httpx.Response:
        """Hand over what a seat printed."""
        query = {"node": self.name, "boot": self.boot, **_seat(order), "offset": offset}
        return self.agent.http.post("/agent/logs", params={**query, **changes}, content=data)

    def run(self, project: str, **fields: Any) -> dict[str, Any]:
        """Submit a job for one GPU of this node, have it placed and started; its order."""
        one = {"resources": {"gpu": 1, "gpu_type": self.model}}
        job = self.world.submit(project, **one | fields)
        self.world.schedule()
        [order] = [order for order in self.orders() if order["job"] == job]
        self.say(self.started(order))
        return order

    def say(self, *facts: dict[str, Any]) -> None:
        """Report facts that are new, and let the scheduler act on them."""
        answer = self.report(*facts)
        assert [r["status"] for r in answer.json()["results"]] == ["recorded"] * len(facts)
        self.world.schedule()


def _seat(order: dict[str, Any]) -> dict[str, Any]:
    return {"allocation": order["allocation"], "rank": order["rank"]}
