"""HTTP as a load generator speaks it: one kept connection a client, no more work than needed."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self
from urllib.parse import urlsplit


class Connection:
    """One kept connection to the API."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._http = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def call(self, method: str, path: str, content: bytes | None = None, key: str = "") -> bytes:
        """The body of a 2xx answer; RuntimeError for any other."""
        headers = {**self._headers, "Idempotency-Key": key} if key else self._headers
        answer = self._ask(method, path, content, headers)
        return answer.read()

    def first_line(self, path: str) -> bytes:
        """The first line of a stream, the rest of which is not waited for."""
        line = self._ask("GET", path, None, self._headers).readline()
        self._http.close()  # it connects anew by itself
        return line

    def _ask(
        self, method: str, path: str, content: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        self._http.request(method, f"/api/v1{path}", content, headers)
        answer = self._http.getresponse()
        if not 200 <= answer.status < 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.read()[:500]!r}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()


def spread(count: int, clients: int, work: Callable[[int, range], None]) -> None:
    """Run `work(client, its numbers)` in a thread each; raises what the first failure raised."""
    with ThreadPoolExecutor(clients) as pool:
        begun = [pool.submit(work, n, range(n, count, clients)) for n in range(clients)]
        for each in begun:
            each.result()
