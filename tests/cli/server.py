"""The cell of cell.py over real HTTP, on loopback."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.cli import routes
from tests.cli.cell import ENDED, Cell, Refused, fingerprint

DATE = "Tue, 24 Nov 2026 08:00:00 GMT"


class Cut(Exception):
    """The connection is to break here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cell: Cell

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        pass

    def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002 - always then
        return DATE

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the library's names

    def _answer(self) -> None:
        self.close_connection = True
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        try:
            self._check()
            path = [unquote(part) for part in url.path.removeprefix("/api/v1/").split("/")]
            with self.cell.changed:
                self.cell.requests.append((self.command, self.path.removeprefix("/api/v1"), body))
            query = parse_qs(url.query)
            if path[0] == "events" and self._wants_events():
                self._stream(self._events(int(query["after"][0])), "text/event-stream")
            elif path[-1] == "logs":
                self._logs(path[1], query)
            else:
                self._document(url.path, path, query, body)
        except Refused as error:
            facts = {
                "title": "Refused",
                "status": error.status,
                "request_id": "req-7",
                **error.facts,
            }
            retry = self.cell.faults.retry_after
            headers = {} if retry is None else {"Retry-After": str(retry)}
            self._send(error.status, facts, "application/problem+json", headers)
        except Cut:
            self.connection.close()

    def _check(self) -> None:
        faults = self.cell.faults
        if faults.busy:
            faults.busy -= 1
            raise Refused(503, "database_unavailable", "the database does not answer")
        sent = self.headers.get("Authorization")
        if sent == "Bearer viewer" and self.command != "GET":
            raise Refused(403, "denied", "this needs the permission submit_jobs")
        if sent not in (f"Bearer {self.cell.token}", "Bearer viewer"):
            raise Refused(401, "unauthorized", "the token is not valid")

    def _document(self, url: str, path: list[str], query: dict[str, list[str]], body: Any) -> None:
        key, cell = self.headers.get("Idempotency-Key"), self.cell
        if path[0] == "tokens" and self.command == "POST" and key:
            raise Refused(422, "no_key_here", "Idempotency-Key: leave the key out")
        with cell.changed:
            print_ = fingerprint(self.command, url, body)
            saved = cell.once(key, print_) if key else None
            status, answer = saved or routes.route(cell, self.command, path, query, body)
            if self.command != "GET":
                answer.setdefault("position", 900 + len(cell.requests))
                if key:
                    cell.answers[key] = (print_, status, answer)
            if self.command != "GET" and cell.faults.lost_answers:
                cell.faults.lost_answers -= 1
                raise Cut
        self._send(status, answer, "application/json", {})

    def _send(self, status: int, answer: Any, kind: str, headers: dict[str, str]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _wants_events(self) -> bool:
        return "text/event-stream" in self.headers.get("Accept", "")

    def _logs(self, job: str, query: dict[str, list[str]]) -> None:
        offset, follow = int(query["offset"][0]), query.get("follow") == ["true"]
        with self.cell.changed:
            self.cell.job(job)
        output = self.cell.output(job, offset, follow)
        if self._wants_events():
            self._stream(self._as_events(output, offset, job), "text/event-stream")
        else:
            self._stream(output, "text/plain; charset=utf-8")

    def _as_events(self, output: Iterator[bytes], offset: int, job: str) -> Iterator[bytes]:
        yield b"retry: 1000\n\n: still here\n\n"
        for piece in output:
            offset += len(piece)
            yield b"id: %d\ndata: %s\n\n" % (offset, base64.b64encode(piece))
        over = self.cell.jobs[job]["phase"] in ENDED  # else the server shuts down
        if over and not self.cell.faults.silent_end:
            yield b"event: end\ndata: \n\n"

    def _events(self, after: int) -> Iterator[bytes]:
        while not self.cell.closed:
            with self.cell.changed:
                found = [event for event in self.cell.events if event["position"] > after]
                if not found:
                    self.cell.changed.wait(0.05)
            for event in found:
                after = event["position"]
                text = f"id: {after}\nevent: {event['name']}\ndata: {json.dumps(event)}\n\n"
                yield text.encode()

    def _stream(self, parts: Iterator[bytes], kind: str) -> None:
        faults = self.cell.faults
        left = faults.cuts.pop(0) if faults.cuts else None
        self.send_response(200)
        self.send_header("Content-Type", kind)
        if not faults.undelimited:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in parts:
            data = part if faults.undelimited else b"%x\r\n%s\r\n" % (len(part), part)
            if left is not None and left < len(data):
                self.wfile.write(data[:left])
                raise Cut
            self.wfile.write(data)
            left = None if left is None else left - len(data)
        if not faults.undelimited:
            self.wfile.write(b"0\r\n\r\n")


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the test."""


@contextmanager
def serving(cell: Cell, port: int = 0) -> Iterator[str]:
    """The address of a server for the cell, while it runs."""
    handler = type("BoundHandler", (Handler,), {"cell": cell})
    server = Server(("127.0.0.1", port), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        cell.closed = True
        server.shutdown()
        server.server_close()
        thread.join()
