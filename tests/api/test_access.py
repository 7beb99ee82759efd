"""Who may call what: every route, every kind of caller; what one may not see is not there."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.access import Role
from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import Person, World, until
from tests.processors.test_witness import sign

MEMBERS = frozenset({"viewer", "submitter", "operator", "admin"})
WRITERS = MEMBERS - {"viewer"}
OPERATORS = frozenset({"operator", "admin"})
ADMIN = frozenset({"admin"})
AGENT = frozenset({"agent"})
READERS = MEMBERS | {"outsider"}  # whoever is a member of some project
EVERYBODY = READERS | {"agent"}  # who sees nothing gets an empty answer

CALLERS: dict[str, frozenset[str]] = {
    "POST /jobs": WRITERS,
    "GET /jobs": EVERYBODY,
    "POST /jobs:batch": WRITERS,
    "POST /jobs:dry-run": WRITERS,
    "GET /jobs/{job}": MEMBERS,
    "PATCH /jobs/{job}": WRITERS,
    "POST /jobs/{job}/cancel": WRITERS,
    "POST /jobs/{job}/suspend": WRITERS,
    "POST /jobs/{job}/resume": WRITERS,
    "POST /jobs/{job}/requeue": WRITERS,
    "POST /jobs/{job}/migrate": WRITERS,
    "DELETE /jobs/{job}/migrate": WRITERS,
    "GET /jobs/{job}/events": MEMBERS,
    "GET /jobs/{job}/why": MEMBERS,
    "POST /jobs/{job}/outlook": MEMBERS,
    "GET /jobs/{job}/checkpoints": MEMBERS,
    "GET /jobs/{job}/cost": MEMBERS,
    "GET /jobs/{job}/logs": MEMBERS,
    "GET /queue": READERS,
    "GET /resources/pools": READERS,
    "GET /nodes": READERS,
    "GET /nodes/{node}": READERS,
    "POST /nodes/{node}/cordon": OPERATORS,
    "POST /nodes/{node}/drain": OPERATORS,
    "POST /nodes/{node}/uncordon": OPERATORS,
    "GET /projects": EVERYBODY,
    "POST /projects": ADMIN,
    "GET /projects/{project}": MEMBERS,
    "PUT /projects/{project}/members/{principal}": ADMIN,
    "DELETE /projects/{project}/members/{principal}": ADMIN,
    "PUT /projects/{project}/quota": ADMIN,
    "PUT /projects/{project}/inheritance": ADMIN,
    "GET /projects/{project}/budgets": MEMBERS,
    "PUT /projects/{project}/budgets": ADMIN,
    "GET /usage": EVERYBODY,
    "GET /cost": EVERYBODY,
    "GET /waits": EVERYBODY,
    "GET /policy": READERS,
    "PUT /policy": ADMIN,
    "POST /policy:check": READERS,
    "GET /policy/scheduler": READERS,
    "PUT /policy/scheduler": ADMIN,
    "GET /policy/cohorts": READERS,
    "PUT /policy/cohorts": ADMIN,
    "GET /policy/prices": READERS,
    "PUT /policy/prices": ADMIN,
    "POST /reservations": OPERATORS,
    "GET /reservations": READERS,
    "GET /reservations/{reservation}": READERS,
    "DELETE /reservations/{reservation}": OPERATORS,
    "GET /events": OPERATORS,
    "GET /audit/head": OPERATORS,
    "GET /audit/export": OPERATORS,
    "GET /audit/proof/{position}": OPERATORS,
    "GET /views": OPERATORS,
    "POST /audit/replay": OPERATORS,
    "POST /audit/explain": OPERATORS,
    "POST /audit/whatif": OPERATORS,
    "POST /views/{view}/rebuild": ADMIN,
    "GET /metrics": READERS,
    "GET /quarantine": OPERATORS,
    "POST /quarantine/retry": ADMIN,
    "POST /quarantine/discard": ADMIN,
    "POST /tokens": ADMIN,
    "GET /tokens": ADMIN,
    "DELETE /tokens/{token}": ADMIN,
    "GET /whoami": READERS,
    "POST /agent/register": AGENT,
    "POST /agent/lease": AGENT,
    "POST /agent/report": AGENT,
    "POST /agent/logs": AGENT,
    "POST /agent/samples": AGENT,
}
"""Who gets through; written down here by hand, on purpose not computed from domain/access.py."""

OPEN = {"GET /health"}
_ONE_PROJECT = {"GET /projects/{project}", "GET /projects/{project}/budgets"}
IN_PROJECT = {
    route
    for route in CALLERS
    if "{job}" in route
    or route in {"POST /jobs", "POST /jobs:batch", "POST /jobs:dry-run", *_ONE_PROJECT}
}
"""Routes on one project or job: there is none for whoever may not read it (404, not 403)."""


@dataclass(frozen=True)
class Scene:
    """A project with a job that printed something, and one caller of each kind."""

    world: World
    project: str
    job: str
    node: Node
    allocation: str
    callers: dict[str, Person]

    def call(self, who: Person, route: str, **names: str) -> httpx.Response:
        """Call the route with a body that means something, on this scene's objects or others."""
        method, path = route.split(" ")
        known = {
            "job": self.job,
            "node": self.node.name,
            "project": self.project,
            "principal": "grace",
            "token": "token-of-nobody",
            "view": "jobs",
            "reservation": "demo",
            "position": "1",
        }
        path = path.format(**{**known, **names})
        query = self._query(route)
        content = b"more\n" if route == "POST /agent/logs" else None
        body = None if content else self._body(route, **names)
        return who.http.request(method, path, params=query, json=body, content=content)

    def _query(self, route: str) -> dict[str, Any] | None:
        if route != "POST /agent/logs":
            return None
        seat = {"allocation": self.allocation, "rank": 0, "offset": 0}
        return {"node": self.node.name, "boot": self.node.boot, **seat}

    def _body(self, route: str, project: str = "", **_: str) -> Any:
        job = {"name": "j", "project_id": project or self.project, "command": ["true"]}
        node = {"node": self.node.name, "boot": self.node.boot}
        bodies: dict[str, Any] = {
            "POST /jobs": job,
            "POST /jobs:batch": {"jobs": [job]},
            "POST /jobs:dry-run": job,
            "PATCH /jobs/{job}": {"priority": 7},
            "POST /nodes/{node}/cordon": {"reason": "look"},
            "POST /nodes/{node}/drain": {"reason": "look"},
            "POST /projects": {"id": "made-in-passing"},
            "PUT /projects/{project}/members/{principal}": {"role": "viewer"},
            "PUT /projects/{project}/quota": {},
            "PUT /policy": {},
            "POST /policy:check": {},
            "PUT /projects/{project}/budgets": {"budgets": []},
            "PUT /projects/{project}/inheritance": {"max_priority": 0},
            "PUT /policy/scheduler": {},
            "PUT /policy/cohorts": {"cohorts": []},
            "PUT /policy/prices": {"currency": "EUR", "gpu_hour": {}},
            "POST /reservations": {
                "name": "made-in-passing",
                "start": "2199-01-01T00:00:00Z",
                "duration_seconds": 60,
                "nodes": [self.node.name],
                "maintenance": True,
            },
            "POST /audit/replay": {},
            "POST /audit/explain": {"job": self.job},
            "POST /audit/whatif": {},
            "POST /tokens": {"principal": "grace"},
            "POST /agent/register": self.node.offer(),
            "POST /agent/lease": {**node, "nonce": self.node.nonce},
            "POST /agent/report": {**node, "facts": []},
            "POST /agent/samples": {**node, "samples": []},
        }
        return bodies.get(route)


@pytest.fixture(scope="module")
def scene(world: World) -> Scene:
    project, other = world.project("secret-project"), world.project()
    node = Node(world)
    assert node.register().status_code == 200
    order = node.run(project, name="secret-job")
    assert node.send_log(order, 0, b"secret output\n").status_code == 200
    world.submit(project, name="secret-waiting", resources={"gpu": 64}, accept_when_absent=True)
    world.schedule()
    reservation = {
        "name": "demo",
        "start": "2199-01-01T00:00:00Z",
        "duration_seconds": 60,
        "nodes": [node.name],
        "projects": [project],
        "users": ["vera"],
        "jobs": [order["job"]],
    }
    world.caught_up()
    assert world.admin.post("/reservations", reservation).status_code == 202
    with tempfile.TemporaryDirectory() as folder:
        sign(world.dsn, world.store, Path(folder))
    callers = {
        "viewer": world.person("vera", projects={project: Role.VIEWER}),
        "submitter": world.person("sam", projects={project: Role.SUBMITTER}),
        "operator": world.person("olga", Role.OPERATOR),
        "admin": world.admin,
        "outsider": world.person("oscar", projects={other: Role.SUBMITTER}),
        "agent": node.agent,
    }
    return Scene(world, project, order["job"], node, order["allocation"], callers)


def routes(world: World) -> set[str]:
    """Every operation of the document, without the prefix."""
    paths = world.app.openapi()["paths"]
    return {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, operations in paths.items()
        for method in operations
    }


def test_the_table_names_every_route(world: World) -> None:
    assert routes(world) == CALLERS.keys() | OPEN


@pytest.mark.parametrize("route", CALLERS)
def test_nobody_gets_in_without_a_token(scene: Scene, route: str) -> None:
    head = scene.world.store.head()
    nobody = scene.world.bearer(None)
    check_problem(scene.call(nobody, route), 401)
    check_problem(scene.call(scene.world.bearer("x" * 43), route), 401)
    assert scene.world.store.head() == head, "nothing was recorded"


@pytest.mark.parametrize("kind", sorted(EVERYBODY))
@pytest.mark.parametrize("route", CALLERS)
def test_each_caller_gets_exactly_what_the_table_says(scene: Scene, route: str, kind: str) -> None:
    head = scene.world.store.head()
    answer = scene.call(scene.callers[kind], route)
    if kind in CALLERS[route]:
        assert answer.status_code not in (401, 403), answer.text
        assert answer.status_code < 500, answer.text
        assert answer.status_code != 404 or "{token}" in route, answer.text
        return
    unseen = route in IN_PROJECT and kind not in MEMBERS
    check_problem(answer, 404 if unseen else 403)
    assert scene.world.store.head() == head, "nothing was recorded"


@pytest.mark.parametrize("route", sorted(IN_PROJECT))
def test_what_one_may_not_see_answers_as_what_does_not_exist(scene: Scene, route: str) -> None:
    outsider = scene.callers["outsider"]
    names = {"job": "0" * len(scene.job), "project": "0" * len(scene.project)}
    hidden, absent = scene.call(outsider, route), scene.call(outsider, route, **names)
    assert anonymous(hidden) == anonymous(absent)


def anonymous(answer: httpx.Response) -> tuple[Any, ...]:
    """An answer less what is particular to its request."""
    body = {k: v for k, v in answer.json().items() if k not in ("instance", "request_id")}
    varying = {"x-request-id", "date"}
    headers = {k: v for k, v in answer.headers.items() if k not in varying}
    return answer.status_code, json.dumps(body, sort_keys=True), headers


@pytest.mark.parametrize("route", sorted(r for r in CALLERS if r.startswith("GET ")))
def test_an_outsider_reads_nothing_of_a_strange_project(scene: Scene, route: str) -> None:
    if "outsider" not in CALLERS[route]:
        return
    answer = scene.call(scene.callers["outsider"], route)
    assert answer.status_code == 200
    for secret in (scene.project, scene.job, "secret-", "vera"):
        assert secret not in answer.text


@pytest.mark.parametrize("route", ["GET /jobs", "GET /usage", "GET /cost", "GET /waits"])
def test_asking_for_a_strange_project_by_name_finds_none(scene: Scene, route: str) -> None:
    path = route.removeprefix("GET ")
    for kind in ("outsider", "agent"):
        answer = scene.callers[kind].get(path, project_id=scene.project)
        check_problem(answer, 404, "no_such_project")
    queue = scene.callers["outsider"].get("/queue", project_id=scene.project)
    assert queue.json() == {"items": [], "by_reason": {}, "total": 0}


def test_a_batch_is_refused_whole_for_one_strange_project(scene: Scene) -> None:
    outsider = scene.callers["outsider"]
    mine = outsider.get("/projects").json()["items"][0]["id"]
    head = scene.world.store.head()
    jobs = [
        {"name": "j", "project_id": project, "command": ["true"]}
        for project in (mine, scene.project)
    ]
    check_problem(outsider.post("/jobs:batch", {"jobs": jobs}), 404, "no_such_project")
    assert scene.world.store.head() == head


@pytest.mark.parametrize("route", sorted(r for r in CALLERS if r.startswith("POST /agent/")))
def test_an_agent_acts_for_its_own_node_only(scene: Scene, route: str) -> None:
    stranger = Node(scene.world)
    check_problem(scene.call(stranger.agent, route), 403, "wrong_node")


def test_an_agent_learns_nothing_of_seats_on_other_nodes(scene: Scene) -> None:
    stranger = Node(scene.world)
    assert stranger.register().status_code == 200
    seat = {"allocation": scene.allocation, "rank": 0}
    sample = {**seat, "cpu_milli": 1, "memory_bytes": 1}
    node = {"node": stranger.name, "boot": stranger.boot}
    check_problem(stranger.send_log(seat, 0, b"forged\n"), 404, "no_such_seat")
    check_problem(stranger.agent.post("/agent/samples", {**node, "samples": [sample]}), 422)
    ended = {"kind": "ended", **seat, "outcome": "exited", "exit_code": 0}
    absent = {**ended, "allocation": "allocation-that-never-was"}
    [refused, unknown] = stranger.report(ended, absent).json()["results"]
    assert refused["status"] == unknown["status"] == "refused"
    assert (refused["code"], unknown["code"]) == ("no_such_seat", "no_such_allocation")
    log = scene.world.admin.get(f"/jobs/{scene.job}/logs")
    assert b"forged" not in log.content


def test_a_token_ends_at_its_time_and_when_it_is_revoked(world: World) -> None:
    soon = world.store.now() + 300_000
    _, expiring = world.issue("ada", Role.OPERATOR, expires_at=soon)
    ada = world.bearer(expiring)
    until(lambda: ada.get("/whoami").status_code == 401)
    assert world.store.now() >= soon
    token, secret = world.issue("bob", Role.OPERATOR)
    bob = world.bearer(secret)
    assert bob.get("/whoami").json()["principal"] == "bob"
    assert world.admin.send("DELETE", f"/tokens/{token}").status_code == 202
    check_problem(bob.get("/whoami"), 401)


def test_a_membership_holds_and_ends_at_once(world: World) -> None:
    project = world.project()
    ada = world.person("ada-of-one-project", projects={world.project(): Role.VIEWER})
    path = f"/projects/{project}/members/ada-of-one-project"
    for _ in range(2):
        check_problem(ada.get(f"/projects/{project}"), 404)
        assert world.admin.send("PUT", path, {"role": "submitter"}).status_code == 202
        assert ada.get(f"/projects/{project}").status_code == 200
        assert world.admin.send("DELETE", path).status_code == 202


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic {token}",
        "{token}",
        "Bearer {token} {token}",
        "Token {token}",
    ],
)
def test_there_is_one_way_in(world: World, header: str) -> None:
    value = header.format(token=world.admin.token)
    headers = {"Authorization": value.strip()} if value.strip() else {}
    check_problem(httpx.get(f"{world.url}/api/v1/whoami", headers=headers, trust_env=False), 401)
    cookie = {"Cookie": f"token={world.admin.token}"}
    check_problem(httpx.get(f"{world.url}/api/v1/whoami", headers=cookie, trust_env=False), 401)
    query = {"token": world.admin.token, "access_token": world.admin.token}
    check_problem(httpx.get(f"{world.url}/api/v1/whoami", params=query, trust_env=False), 422)


def test_a_token_is_kept_only_as_its_digest(world: World) -> None:
    issued = world.admin.post("/tokens", {"principal": "kept", "roles": ["operator"]}).json()
    assert len(issued["token"]) >= 43, "256 bits"
    tables = world.connection.execute(
        "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public'"
    ).fetchall()
    for table in tables:
        query = f'SELECT count(*) AS found FROM "{table["name"]}" t WHERE t::text LIKE %s'
        row = world.connection.execute(query.encode(), (f"%{issued['token']}%",)).fetchone()
        assert row is not None
        assert row["found"] == 0, table["name"]
    listed = world.admin.get("/tokens").text
    assert issued["id"] in listed
    assert issued["token"] not in listed
