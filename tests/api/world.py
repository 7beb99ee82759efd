"""A cell to test the API on: a real server, a projector, people with tokens, a scheduler."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, TypeVar

import httpx
import psycopg
import uvicorn

from api.app import create_app
from api.cell import Cell
from domain.access import Role
from domain.errors import Refusal
from domain.event import Event, Meta, StreamId
from domain.job import job as jobs
from domain.project import project as projects
from domain.token import token as tokens
from domain.token.events import Issued, ProjectRole
from domain.values.ids import JobId, ProjectId, TokenId
from infra.bootstrap import META
from infra.follow import Bell, PostgresStream
from infra.ids import digest, fresh, fresh_token
from infra.settings import Settings
from infra.store import Change, Store, stream_of
from processors.projector import Projector, connect
from processors.scheduler import ROLE, Scheduler
from projections.tables import prepare

PATIENCE = 10.0
Answer = TypeVar("Answer")
_numbers = itertools.count(1)


def until(look: Callable[[], Answer], patience: float = PATIENCE) -> Answer:
    """The first true answer; fails after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not (found := look()):
        assert time.monotonic() < deadline, f"still not: {look}"
        time.sleep(0.005)
    return found


class Person:
    """Somebody with a token: each call answers what the server said, errors included."""

    def __init__(self, url: str, token: str | None) -> None:
        self.token = token
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        limits = httpx.Limits(max_connections=64)
        self.http = httpx.Client(
            base_url=f"{url}/api/v1", headers=headers, timeout=30, limits=limits, trust_env=False
        )

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.http.get(path, params=query or None)  # empty ones would replace the path's

    def send(
        self, method: str, path: str, body: object = None, key: str | None = None
    ) -> httpx.Response:
        headers = {} if key is None else {"Idempotency-Key": key}
        return self.http.request(method, path, json=body, headers=headers)

    def post(self, path: str, body: object = None, key: str | None = None) -> httpx.Response:
        return self.send("POST", path, body, key)


class World:
    """One cell, served on loopback; its read models follow by themselves unless paused."""

    def __init__(self, dsn: str, **settings: Any) -> None:
        self.dsn = dsn
        self.store = Store(dsn)
        self.connection = connect(dsn)
        prepare(self.connection)
        self.app = create_app(Settings(database_url=dsn, **settings))
        self._people: list[Person] = []
        self._stop, self._paused = threading.Event(), threading.Lock()
        self._projector = threading.Thread(target=self._project, name="projector")
        self._projector.start()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            self.app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._serving = threading.Thread(
            target=self._server.run, args=([self._socket],), name="server"
        )
        self._serving.start()
        until(lambda: self._server.started)
        self._scheduler: Scheduler | None = None
        self._stream: PostgresStream | None = None
        self.admin = self.person("admin", Role.ADMIN)

    @property
    def cell(self) -> Cell:
        found: Cell = self.app.state.cell
        return found

    def close(self) -> None:
        """Stop the server and the projector."""
        for person in self._people:
            person.http.close()
        self._server.should_exit = True
        self._serving.join(PATIENCE)
        self._socket.close()
        self._stop.set()
        self._projector.join(PATIENCE)
        if self._stream is not None:
            self._stream.close()
        self.connection.close()
        self.store.close()

    # Read models

    def _project(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except (Refusal, psycopg.OperationalError):
                self._stop.wait(0.1)  # the database is away

    def _follow(self) -> None:
        with (
            closing(PostgresStream(self.store, Bell(self.dsn))) as stream,
            connect(self.dsn) as connection,
        ):
            projector = Projector(connection, stream)
            while not self._stop.is_set():
                with self._paused:
                    found = projector.step()
                if not found:
                    stream.wait(0.05)

    @contextmanager
    def projector_paused(self) -> Iterator[None]:
        """Read models stand still."""
        with self._paused:
            yield

    def caught_up(self) -> int:
        """The log's head, once every read model shows it."""
        head = self.store.head()
        self.cell.wait_for(head)
        return head

    # People and projects

    def append(self, stream: StreamId, events: list[Event], project: str | None = None) -> None:
        """Record the events that begin a stream."""
        meta = Meta(META.actor, META.cause, META.correlation, project)
        self.store.append([Change(stream, 0, events, meta)])

    def project(self, name: str | None = None) -> str:
        """A new project."""
        project = ProjectId(name or f"project-{next(_numbers)}")
        created: list[Event] = list(projects.create(None, project, ""))
        self.append(stream_of("project", project), created, project)
        self.caught_up()
        return project

    def issue(
        self,
        principal: str,
        *roles: Role,
        projects: Mapping[str, Role] | None = None,
        node: str | None = None,
        expires_at: int | None = None,
    ) -> tuple[str, str]:
        """A new token: its id and the token itself."""
        secret, now = fresh_token(), self.store.now()
        token = TokenId(fresh("token", now))
        grants = tuple(ProjectRole(ProjectId(p), role) for p, role in (projects or {}).items())
        issued = Issued(token, digest(secret), principal, roles, grants, expires_at, node)
        events: list[Event] = list(tokens.issue(issued, 0))
        self.append(stream_of("token", token), events)
        self.caught_up()
        return token, secret

    def bearer(self, token: str | None) -> Person:
        """Whoever holds this token, or nobody."""
        self._people.append(Person(self.url, token))
        return self._people[-1]

    def person(
        self,
        principal: str,
        *roles: Role,
        projects: Mapping[str, Role] | None = None,
        node: str | None = None,
    ) -> Person:
        """Somebody with a fresh token."""
        return self.bearer(self.issue(principal, *roles, projects=projects, node=node)[1])

    # Jobs

    def submit(self, project: str, **fields: Any) -> str:
        """A new job of the admin's; its id, known to every read model."""
        body = {"name": "job", "project_id": project, "command": ["true"], **fields}
        answer = self.admin.post("/jobs", body)
        assert answer.status_code == 201, answer.text
        self.caught_up()
        return str(answer.json()["id"])

    def job(self, job: str) -> jobs.Job:
        """The job as its events left it."""
        state, _ = self.store.load(stream_of("job", JobId(job)), jobs.evolve, None)
        assert state is not None
        return state

    def schedule(self) -> None:
        """Run the scheduler until it has nothing to decide, and show what it did."""
        if self._scheduler is None:
            self._stream = PostgresStream(self.store, Bell(self.dsn))
            epoch = self.store.take_role(ROLE, "test")
            self._scheduler = Scheduler(self.store, self._stream, epoch, self.store.now)
        while self._scheduler.cycle():
            pass
        self.caught_up()
