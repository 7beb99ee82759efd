"""HTTP with the platform's rules: bearer token, problem details, safe retries."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from compute_platform import __version__
from compute_platform.errors import Misused, Problem, Unexpected, Unreachable, problem

ABSENT_SECONDS = 2.0
"""How long to try where nothing has answered at all: likely a wrong address."""
PATIENCE_SECONDS = 30.0
"""How long to try again where the connection broke or the server asked to come back."""
REQUEST_SECONDS = 30.0
"""How long one step of one request may take."""
LONGEST_PAUSE = 5.0
BUSY = frozenset({502, 503, 504})
BROKEN = (OSError, http.client.HTTPException)
"""What a connection that fails or breaks raises."""

Query = Mapping[str, str | int | bool | list[str] | None]


class Answer:
    """One whole answer: status, headers, body."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.body = b"".join(pieces(response))
        self.status = response.status
        self.headers = response.headers

    def document(self) -> dict[str, Any]:
        """The JSON object it carries (an empty one for none). Unexpected if it has none."""
        if self.body in (b"", b"null"):
            return {}
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Unexpected(
                f"The answer ({self.status}) is not a JSON object: {self.body[:80]!r}",
                "Check that COMPUTE_URL is the platform's address.",
            )
        return value


class Transport:
    """Requests to one server. `tell` hears why something is tried again.

    `patience` are the seconds for which a broken connection or a 503 is tried again.
    """

    def __init__(
        self, url: str, token: str, patience: float, tell: Callable[[str], None] | None
    ) -> None:
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme, parts.hostname, parts.port
        except ValueError:  # a port that is no number, half an IPv6 address
            scheme, host, port = "", None, None
        if scheme not in ("http", "https") or not host:
            raise Misused(
                f"{url!r} is not a server's address.",
                "Give COMPUTE_URL or --url as http://HOST:PORT or https://HOST.",
            )
        if not token.isascii() or not token.isprintable() or " " in token:
            raise Misused("The token has characters that no token has: copy it again.")
        self.url = url.rstrip("/")
        self.patience = patience
        self.tell = tell or (lambda _: None)
        self.timeout = REQUEST_SECONDS
        self.now = datetime.now(UTC)
        self.moment: str | None = None
        self.found = False
        """Whether anybody ever answered at the address."""
        self._token = token
        self._scheme, self._host, self._port = scheme, host, port
        self._prefix = parts.path.rstrip("/") + "/api/v1"

    def call(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: object = None,
        key: str | None = None,
        patience: float | None = None,
    ) -> dict[str, Any]:
        """The JSON object the server answers with.

        Reads, and writes with an idempotency `key`, are tried again when the connection breaks
        or the server is busy. Raises a Problem, Unreachable or Unexpected.
        """
        content = None if body is None else json.dumps(body).encode()
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        repeatable = method == "GET" or key is not None
        trial = Trial(self, repeatable, patience)
        while True:
            try:
                with self.open(method, path, query, content, headers, trial=trial) as response:
                    return Answer(response).document()
            except (*BROKEN, Problem) as error:
                trial.again(error)

    def open(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        trial: Trial | None = None,
    ) -> http.client.HTTPResponse:
        """The answer once its head is here, to be read and closed; a Problem for 400 and above."""
        kind = (
            http.client.HTTPSConnection if self._scheme == "https" else http.client.HTTPConnection
        )
        connection = kind(self._host, self._port, timeout=timeout or self.timeout)
        try:
            connection.connect()
            if trial is not None:
                trial.reached()
            sent = {"User-Agent": f"compute/{__version__}", "Connection": "close"}
            sent.update(headers or {})
            if self._token:
                sent["Authorization"] = f"Bearer {self._token}"
            connection.request(method, self._prefix + path + _query(query), content, sent)
            response = connection.getresponse()
        except BaseException:
            connection.close()
            raise
        if connection.sock is not None:
            connection.sock.close()  # takes effect when the response, which reads it, is closed
        self._note_time(response)
        if response.status >= 300:
            with response:
                raise _problem(Answer(response))
        return response

    def _note_time(self, response: http.client.HTTPResponse) -> None:
        # Ages are counted by the server's clock: the user's may be wrong. What the past answers
        # is as old as it was then.
        past = response.headers.get("As-Of")
        self.moment = past
        try:
            if past:
                self.now = datetime.fromisoformat(past)
                return
            self.now = parsedate_to_datetime(response.headers["Date"]).astimezone(UTC)
        except (TypeError, ValueError):
            self.now = datetime.now(UTC)


class Trial:
    """One request's attempts: whether and when it may be made again."""

    def __init__(self, transport: Transport, repeatable: bool, patience: float | None) -> None:
        self._transport = transport
        self._repeatable = repeatable
        self._patience = transport.patience if patience is None else patience
        absent = self._patience if transport.found else ABSENT_SECONDS
        self._limit = min(absent, self._patience)
        self._began = time.monotonic()
        self._pauses = 0
        self._told = False

    def reached(self) -> None:
        """Something answered at the address: it is worth waiting for, now and later."""
        self._transport.found = True
        self._limit = self._patience

    def again(self, error: Exception) -> None:
        """Pause before the next attempt, or raise what this attempt failed with."""
        if isinstance(error, Problem) and error.status not in BUSY:
            raise error
        pause = self._pause(error)
        spent = time.monotonic() - self._began
        hopeless = getattr(error, "verify_code", None) is not None  # a certificate: no use
        if not self._repeatable or hopeless or spent + pause > self._limit:
            raise self._final(error, spent)
        if not self._told and self._pauses > 1 and self._limit == self._patience:
            self._told = True
            reason = f"{error.status} {error.code}" if isinstance(error, Problem) else str(error)
            self._transport.tell(
                f"the server does not answer ({reason or type(error).__name__});"
                f" trying again for up to {self._limit:.0f} s"
            )
        time.sleep(pause)

    def _pause(self, error: Exception) -> float:
        from random import uniform  # only where something went wrong

        self._pauses += 1
        asked = error.facts.get("retry_after") if isinstance(error, Problem) else None
        longest: float = min(LONGEST_PAUSE, 0.05 * 2**self._pauses)
        spread = uniform(0.5, 1.0)  # noqa: S311 - spreads load, guards nothing
        return max(float(asked or 0), longest * spread)

    def _final(self, error: Exception, spent: float) -> Exception:
        if isinstance(error, Problem):
            return error
        if getattr(error, "verify_code", None) is not None:
            return Unreachable(
                f"The certificate of {self._transport.url} is not trusted: {error}",
                "Set SSL_CERT_FILE to the certificate authority's file, or correct COMPUTE_URL.",
            )
        reason = str(error) or type(error).__name__
        return Unreachable(
            f"No answer from {self._transport.url} after {spent:.0f} s: {reason}",
            "Check COMPUTE_URL and that the server runs; `compute up` starts one here.",
        )


def pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body as it comes; IncompleteRead when the connection broke before its end."""
    left = response.length
    while data := response.read1(65536):
        if left is not None:
            left -= len(data)
        yield data
    if left:
        raise http.client.IncompleteRead(b"", left)


def segment(text: str) -> str:
    """`text` as one part of a path; nothing in it can change the path."""
    if text in ("", ".", ".."):
        raise Misused(f"{text!r} is not a name.")
    return quote(text, safe="")


def _query(query: Query | None) -> str:
    given = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in (query or {}).items()
        if value is not None and value != []
    }
    return "?" + urlencode(given, doseq=True) if given else ""


def _problem(answer: Answer) -> Problem:
    try:
        facts = answer.document()
    except Unexpected:
        facts = {}
    if 300 <= answer.status < 400:
        where = answer.headers.get("Location", "elsewhere")
        facts = {
            "detail": f"The server sends on to {where}.",
            "advice": "Set COMPUTE_URL to the final address; the token is not sent elsewhere.",
        }
    facts.setdefault("title", http.client.responses.get(answer.status, "Error"))
    asked = answer.headers.get("Retry-After", "")
    if asked.isdigit():
        facts["retry_after"] = int(asked)
    return problem(answer.status, facts, answer.headers.get("X-Request-Id", ""))
