"""What each path of the cell answers."""

from __future__ import annotations

from typing import Any

from tests.cli.answers import (
    AHEAD,
    BUDGETS,
    COST,
    HELD,
    HISTORY,
    NODE,
    POLICY,
    POOL,
    PROJECT,
    REPAIR,
    RESERVATION,
    SETTINGS,
    TOKEN,
)
from tests.cli.audits import ANSWERS
from tests.cli.cell import NOW, SHORT_OF_GPUS, SUBMITTED, Cell, Refused

Answer = tuple[int, dict[str, Any]]
Query = dict[str, list[str]]


def route(cell: Cell, method: str, path: list[str], query: Query, body: Any) -> Answer:
    """The answer of a path that answers with a document."""
    match method, path:
        case "GET", ["jobs"]:
            return 200, _page(cell, query)
        case "POST", ["jobs"]:
            return 201, dict(cell.submit(body))
        case "POST", ["jobs:batch"]:
            jobs = [cell.submit(spec) for spec in body["jobs"]]
            return 201, {"items": [{"id": job["id"], "name": job["name"]} for job in jobs]}
        case "POST", ["jobs:dry-run"]:
            return 200, dict(cell.documents.get("dry_run", _outlook(body)))
        case _, ["jobs", job_id, *rest]:
            return _job(cell, method, job_id, rest, body)
        case "GET", ["queue"]:
            return 200, _queue(cell, int(query["limit"][0]))
        case "GET", ["events"]:
            return 200, _events(cell, query)
        case _, ["nodes", *rest]:
            return _node(cell, rest, body)
        case _, ["reservations", *rest]:
            return _reservation(cell, method, rest, query, body)
        case _, ["quarantine", *rest]:
            return _quarantine(cell, rest, body)
        case _, ["views", *rest]:
            return _views(cell, rest)
        case "POST", ["audit", kind]:
            return 200, cell.documents.get("audit", {"result": ANSWERS[kind]})
        case _, ["policy" | "policy:check"]:
            return _whole_policy(cell, method, body)
        case _, ["projects" | "tokens" | "policy", *_]:
            return _access(cell, method, path, body)
    return _small(path)


def _small(path: list[str]) -> Answer:
    match path:
        case ["resources", "pools"]:
            return 200, {"items": [POOL]}
        case ["usage"]:
            amounts = {"gpu_seconds": 5400, "cpu_seconds": 7200, "memory_gib_seconds": 36}
            items = [{"key": "ml-research", "jobs": 3, **amounts}]
            return 200, {"since": SUBMITTED, "until": NOW, "items": items}
        case ["waits"]:
            waited = [
                {"cause": "insufficient_gpu", "jobs": 2, "waited_us": 5_400_000_000},
                {"cause": "not_examined", "jobs": 3, "waited_us": 1_500_000},
            ]
            return 200, {"until": NOW, "items": waited, "total_us": 5_401_500_000}
        case ["cost"]:
            items = [{"key": "ml-research", **COST}]
            return 200, {"currency": "USD", "items": items, "total_micro": 2_500_010}
        case ["whoami"]:
            return 200, {
                "principal": "ada",
                "roles": ["viewer"],
                "projects": {"ml-research": "submitter"},
                "permissions": ["read_cluster", "read_jobs"],
            }
    raise Refused(404, "not_found", "Not Found")


def _events(cell: Cell, query: Query) -> dict[str, Any]:
    """Pages as the log has them: `after` is the only way on."""
    if "cursor" in query:
        raise Refused(422, "unknown_parameter", "cursor: there is no such parameter")
    after, limit = (
        int(query.get(name, [text])[0]) for name, text in (("after", "0"), ("limit", "100"))
    )
    found = [event for event in cell.events if event["position"] > after][:limit]
    last = str(found[-1]["position"]) if len(found) == limit else None
    return {"items": found, "next_cursor": last}


def _page(cell: Cell, query: Query) -> dict[str, Any]:
    found = sorted(cell.jobs.values(), key=lambda job: str(job["id"]), reverse=True)
    for name, key in (("project_id", "project_id"), ("user", "user"), ("name", "name")):
        if name in query:
            found = [job for job in found if job[key] == query[name][0]]
    if "phase" in query:
        found = [job for job in found if job["phase"] in query["phase"]]
    start, size = int(query.get("cursor", ["0"])[0]), int(query.get("limit", ["100"])[0])
    more = str(start + size) if len(found) > start + size else None
    return {"items": found[start : start + size], "next_cursor": more}


def _job(cell: Cell, method: str, job_id: str, rest: list[str], body: Any) -> Answer:
    match method, rest:
        case "GET", []:
            return 200, dict(cell.look(job_id))
        case "PATCH", []:
            cell.job(job_id)["priority"] = body["priority"]
            return 202, {"id": job_id, "phase": cell.job(job_id)["phase"]}
        case "GET", ["why"]:
            return 200, _why(cell.job(job_id))
        case "GET", ["events"]:
            return 200, {"items": [e for e in cell.events if e["stream"] == f"job/{job_id}"]}
        case "POST", ["outlook"]:
            if "outlook" in cell.documents:
                raise Refused(503, "outlook_busy", "many such questions are asked")
            return 200, _outlook({})
        case "POST" | "DELETE", ["migrate"]:
            return 202, cell.migrate(job_id, None if method == "DELETE" else body)
        case "POST", [command]:
            return 202, cell.control(job_id, command)
    raise Refused(404, "not_found", "Not Found")


def _outlook(spec: dict[str, Any]) -> dict[str, Any]:
    """Of a job that waits; one that asks for no GPU starts."""
    starts = bool(spec) and "resources" not in spec
    told = [{"kind": "fewer_gpus", "text": "ask for 1 GPU a seat", "to": {"gpu_milli": 1000}}]
    return {
        "position": 72,
        "at": "2026-11-24T08:00:00Z",
        "forecast": "starts_now" if starts else "would_wait",
        "nodes": ["node-001"] if starts else [],
        "reason": None if starts else SHORT_OF_GPUS,
        "queue_position": 4,
        "queued": 5,
        "ahead": [] if starts else [{**AHEAD, "project_id": "ml-research"}],
        "ahead_total": 3,
        "asks": 0,
        "earliest_start": "2026-11-24T09:00:00Z",
        "latest_start": "2026-11-24T11:30:00Z",
        "deadline": None,
        "changes": [] if starts else told,
        "complete": True,
    }


def _why(job: dict[str, Any]) -> dict[str, Any]:
    waits = job["phase"] == "queued"
    return {
        "job_id": job["id"],
        "phase": job["phase"],
        "summary": f"Waiting, place 4 in the queue. {SHORT_OF_GPUS['text']}" if waits else "Ended.",
        "reason": SHORT_OF_GPUS if waits else None,
        "migration": job.get("migration"),
        "queue_position": 4 if waits else None,
        "ahead": [AHEAD] if waits else [],
        "ahead_total": 3 if waits else 0,
        "waits": {
            "by_cause": {"held": 60_000_000, "not_examined": 250_000},
            "cause": "insufficient_gpu" if waits else None,
            "since": SUBMITTED if waits else None,
        },
        "history": HISTORY,
    }


def _queue(cell: Cell, limit: int) -> dict[str, Any]:
    names = ["id", "name", "project_id", "user", "priority", "inherited_priority"]
    names += ["queued_since", "reason"]
    waiting = [job for job in cell.jobs.values() if job["phase"] == "queued"]
    items = [
        {"queue_position": place, **{name: job[name] for name in names}}
        for place, job in enumerate(waiting, 1)
    ]
    return {
        "items": items[:limit],
        "by_reason": {"insufficient_gpu": len(items)} if items else {},
        "total": len(items),
    }


def _views(cell: Cell, rest: list[str]) -> Answer:
    """A rebuild is going on when it is asked for, and done or failed when looked at again."""
    view: dict[str, Any] = {
        "view": "jobs",
        "position": 70,
        "lag": 2,
        "quarantined": 1,
        "rebuild": None,
    }
    asked = {"position": 0, "requested_by": "ada", "requested_at": NOW}
    match rest:
        case []:
            if "rebuild" in cell.documents:
                end = {"finished_at": NOW, "error": None, **cell.documents["rebuild"]}
                view["rebuild"] = asked | {"position": 70} | end
            return 200, {"items": [view], "head": 72}
        case ["jobs", "rebuild"]:
            cell.documents.setdefault("rebuild", {})
            view["rebuild"] = asked | {"finished_at": None, "error": None}
            return 202, view
    raise Refused(404, "no_such_view", "there is no such read model; there is jobs")


def _quarantine(cell: Cell, rest: list[str], body: Any) -> Answer:
    if not rest:
        return 200, cell.documents.get("held", {"items": [HELD]})
    if body["consumer"] == "jobz":
        raise Refused(404, "not_quarantined", "jobz holds nothing back; jobs does")
    cell.documents[rest[0]] = body
    return 202, {"consumers": [] if "held" in cell.documents else ["jobs"]}


def _node(cell: Cell, rest: list[str], body: Any) -> Answer:
    match rest:
        case []:
            return 200, {"items": [NODE]}
        case ["node-001"]:
            return 200, dict(NODE)
        case ["node-001", "cordon" | "drain" | "uncordon" as command]:
            cell.documents["node"] = {"command": command, **(body or {})}
            return 202, {"id": "node-001", "cordoned": command != "uncordon", "draining": False}
    raise Refused(404, "no_such_node", "there is no such node")


def _reservation(cell: Cell, method: str, rest: list[str], query: Query, body: Any) -> Answer:
    match method, rest:
        case "GET", []:
            items = [RESERVATION, REPAIR] if "past" in query else [RESERVATION]
            return 200, {"items": items}
        case "GET", ["course"]:
            return 200, dict(RESERVATION)
        case "POST", []:
            cell.documents["reservation"] = body
            return 202, {"name": body["name"], "state": "scheduled"}
        case "DELETE", ["course" | "new" as name]:
            return 202, {"name": name, "state": "cancelled"}
    raise Refused(404, "no_such_reservation", "there is no such reservation")


def _whole_policy(cell: Cell, method: str, body: Any) -> Answer:
    """The document in force is `POLICY`; one with another section is refused by its field."""
    if method == "GET":
        return 200, dict(POLICY)
    unknown = [name for name in body if name not in POLICY]
    if unknown:
        errors = [{"field": name, "detail": f"{name}: unknown field"} for name in unknown]
        raise Refused(422, "invalid_request", "unknown field", errors=errors)
    if method == "PUT":
        cell.documents["policy"] = body
        return 202, {"version": 3}
    return 200, {name: {**POLICY[name], **part} for name, part in body.items()}


def _access(cell: Cell, method: str, path: list[str], body: Any) -> Answer:
    match method, path:
        case "GET", ["projects"]:
            return 200, {"items": [PROJECT, *cell.documents.get("projects", {}).values()]}
        case "GET", ["projects", "ml-research"]:
            return 200, dict(PROJECT)
        case "GET", ["projects", "ml-research", "budgets"]:
            return 200, BUDGETS
        case "POST", ["projects"]:
            return 201, {"id": body["id"]}
        case "PUT" | "DELETE", ["projects", "ml-research", *rest]:
            cell.documents["/".join([method, *rest])] = body or {}
            return 202, {"id": "ml-research"}
        case "POST", ["tokens"]:
            cell.documents["token"] = body
            return 201, {"id": "token-2", "token": "t0ken", "principal": body["principal"]}
        case "GET", ["tokens"]:
            return 200, {"items": [TOKEN]}
        case "DELETE", ["tokens", "token-1"]:
            return 202, {"id": "token-1"}
        case "GET", ["policy", part]:
            return 200, dict(SETTINGS[part])
        case "PUT", ["policy", part]:
            cell.documents[part] = body
            return 202, {"version": 2}
    raise Refused(404, "not_found", "there is no such thing")
