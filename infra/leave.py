"""A machine leaves the cell and comes back: its jobs save and move to the queue meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

REASON = "compute up was stopped"
PATIENCE_SECONDS = 60.0
LOOK_SECONDS = 0.2


class OwnNode:
    """The node of `compute up`, over the cell's own HTTP API."""

    def __init__(self, url: str, token: str, node: str) -> None:
        self._path = f"{url}/api/v1/nodes/{node}"
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(headers=headers, timeout=5.0, trust_env=False)

    def come_back(self) -> bool:
        """Take work again if the last stop drained the node; False while that is not known."""
        try:
            if self._look().get("cordon_reason") == REASON:
                self._http.post(f"{self._path}/uncordon").raise_for_status()
        except httpx.HTTPError:
            return False
        return True

    def leave(self, hurry: Callable[[], bool]) -> None:
        """Have its jobs save and leave, until none is here or `hurry`."""
        try:
            jobs = self._look().get("jobs", [])
            if not jobs:
                return
            print(f"stopping: {len(jobs)} jobs save their work (Ctrl-C again: at once)", flush=True)
            self._http.post(f"{self._path}/drain", json={"reason": REASON})
            deadline = time.monotonic() + PATIENCE_SECONDS
            while jobs and not hurry() and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)
                jobs = self._look().get("jobs", [])
        except httpx.HTTPError as error:
            print(f"stopping without waiting for jobs: {error}", flush=True)

    def _look(self) -> dict[str, Any]:
        answer = self._http.get(self._path)
        if answer.status_code == 404:
            return {}
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()
