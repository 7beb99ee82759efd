"""Read models over HTTP: how far they are, and rebuilding one."""

from __future__ import annotations

from tests.api.problem import check_problem
from tests.api.test_quarantine import rebuild_all
from tests.api.world import World


def test_a_view_is_rebuilt_and_says_so(world: World) -> None:
    job = world.submit(world.project())
    asked = world.admin.send("POST", "/views/jobs/rebuild", {})
    assert asked.status_code == 202
    rebuild = asked.json()["rebuild"]
    assert rebuild["finished_at"] is None
    assert rebuild["error"] is None
    rebuild_all(world)
    answer = world.admin.send("GET", "/views").json()
    found = {each["view"]: each for each in answer["items"]}
    assert found["jobs"]["rebuild"]["finished_at"] is not None
    assert found["jobs"]["lag"] == answer["head"] - found["jobs"]["position"]
    assert found["queue"]["rebuild"] is None
    assert world.admin.send("GET", f"/jobs/{job}").status_code == 200


def test_no_such_view_names_the_nearest(world: World) -> None:
    found = check_problem(world.admin.send("POST", "/views/job/rebuild", {}), 404)
    assert found["code"] == "no_such_view"
    assert "jobs" in found["detail"]
