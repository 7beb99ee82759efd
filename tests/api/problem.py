"""What every error must look like (RFC 9457)."""

from __future__ import annotations

from typing import Any

import httpx

MEMBERS = {"type", "title", "status", "detail", "instance", "code", "request_id"}


def check_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem answered; fails unless it is one, whole and readable."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem.keys() >= MEMBERS
    assert problem["status"] == status
    assert problem["type"] == f"/docs/problems#{problem['code']}"
    assert problem["instance"] == answer.request.url.path
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["request_id"].startswith("req-")
    assert problem["detail"].strip(), "a sentence for people"
    if code is not None:
        assert problem["code"] == code
    if status == 422:
        assert problem["errors"], "each wrong field"
        assert all(e.keys() == {"field", "detail", "nearest"} for e in problem["errors"])
    if status == 503:
        assert int(answer.headers["retry-after"]) >= 1
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    return problem
