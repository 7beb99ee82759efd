"""Metrics: what Prometheus reads is true, and only those see it who may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from infra.follow import Bell, PostgresStream
from infra.places import Place
from processors.scheduler import ROLE, Scheduler
from projections.catalogue import VIEWS
from tests.api.conftest import MakeWorld
from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import World, until

TOP = Path(__file__).parents[2]
Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(text: str) -> Samples:
    """Every sample by its name and the values of its labels."""
    families = text_string_to_metric_families(text)
    return {
        (s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples
    }


def scrape(world: World) -> Samples:
    answer = world.admin.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return samples(answer.text)


def lags(found: Samples, name: str) -> dict[str, float]:
    """The lag of each read model."""
    return {view.name: found[f"compute_consumer_lag_{name}", (view.name,)] for view in VIEWS}


def test_lag_grows_while_read_models_stand_still_and_goes_when_they_move(world: World) -> None:
    project = world.project()
    world.caught_up()
    before = scrape(world)
    assert set(lags(before, "events").values()) == {0}
    assert set(lags(before, "seconds").values()) == {0}
    body = {"name": "j", "project_id": project, "command": ["true"]}
    with world.projector_paused():
        counts = []
        for _ in range(3):
            assert world.admin.post("/jobs", body).status_code == 201
            counts.append(lags(scrape(world), "events"))
        for was, now in pairwise(counts):
            assert all(now[name] > was[name] > 0 for name in now)
        age = lags(scrape(world), "seconds")
        until(lambda: lags(scrape(world), "seconds")["jobs"] > age["jobs"])
        stood = scrape(world)
        assert stood["compute_log_head_position", ()] == world.store.head()
        head, place = world.store.head(), stood["compute_consumer_position", ("jobs",)]
        assert counts[-1]["jobs"] == len(world.store.read(int(place))) <= head - place
    world.caught_up()
    after = scrape(world)
    assert set(lags(after, "events").values()) == {0}
    assert set(lags(after, "seconds").values()) == {0}
    grown = after["compute_appends_total", ()] - before["compute_appends_total", ()]
    assert grown == 3
    written = "compute_appended_events_total"
    assert after[written, ()] - before[written, ()] == counts[-1]["jobs"]


def test_the_scheduler_lags_by_what_its_leader_has_not_read(new_world: MakeWorld) -> None:
    world = new_world()
    project, now = world.project(), 0.0
    of_it = ("scheduler",)
    assert ("compute_consumer_lag_events", of_it) not in scrape(world), "none ever led"
    stream = PostgresStream(world.store, Bell(world.dsn))
    epoch = world.store.take_role(ROLE, "test")
    place = Place(world.connection, epoch, lambda: now)
    leader = Scheduler(world.store, stream, epoch, world.store.now, place=place)

    def look() -> Samples:
        while leader.cycle():
            pass
        leader.tell()
        return scrape(world)

    found = look()
    assert found["compute_consumer_lag_events", of_it] == 0
    assert found["compute_consumer_lag_seconds", of_it] == 0
    read = leader.snapshot.position
    world.submit(project)
    behind = scrape(world)
    assert behind["compute_consumer_position", of_it] == read
    assert behind["compute_consumer_lag_events", of_it] == len(world.store.read(read)) > 0
    assert behind["compute_consumer_lag_seconds", of_it] > 0
    assert look()["compute_consumer_position", of_it] == read, "it was told in this second"
    now = 1.0
    assert look()["compute_consumer_lag_events", of_it] == 0
    place.note(leader.snapshot.position)  # nothing new: nothing is written
    before = Place(world.connection, replace(epoch, number=epoch.number - 1), lambda: now)
    before.note(read)
    assert scrape(world)["compute_consumer_lag_events", of_it] == 0, "its successor's place stands"
    cycles = scrape(world)["compute_scheduler_cycles", ()]
    assert cycles > 0
    place.planned(lines=8, left=6)
    now = 2.0
    place.note(leader.snapshot.position)
    cut = scrape(world)
    assert cut["compute_scheduler_cycles", ()] == cycles + 1
    assert cut["compute_scheduler_cycles_cut", ()] == 1
    assert cut["compute_scheduler_round_reached", ()] == 0.25
    stream.close()


def test_the_cell_is_as_it_is_said_to_be(new_world: MakeWorld) -> None:
    world = new_world()
    project, node = world.project(), Node(world)
    node.register()
    world.submit(project, resources={"gpu": 64}, accept_when_absent=True)
    world.schedule()
    check_problem(world.admin.get("/jobs/nobody"), 404, "no_such_job")
    world.connection.execute(
        "INSERT INTO quarantine (consumer, stream, position, version, name, error)"
        " VALUES ('jobs', 'job/x', 1, 1, 'x', 'y'), ('scheduler', 'job/x', 1, 1, 'x', 'y')"
    )
    found = scrape(world)
    assert found["compute_nodes", ("alive",)] == 1
    assert found["compute_nodes", ("lost",)] == 0
    by_reason = world.admin.get("/queue").json()["by_reason"]
    assert by_reason
    for reason, jobs in by_reason.items():
        assert found["compute_queued_jobs", (reason,)] == jobs
    assert found["compute_leader_epoch", ("scheduler",)] == 1
    assert found["compute_refusals_total", ("no_such_job",)] == 1
    assert found["compute_quarantined_streams", ("jobs",)] == 1
    assert found["compute_quarantined_streams", ("scheduler",)] == 1
    assert found["compute_quarantined_streams", ("tokens",)] == 0
    assert found["compute_database_up", ()] == 1
    assert found["compute_read_only", ()] == 0
    [version] = [labels[0] for name, labels in found if name == "compute_build_info"]
    assert version


@pytest.fixture
def plain() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as client:
        yield client


def test_where_prometheus_looks_by_itself(world: World, plain: httpx.Client) -> None:
    answer = plain.get(f"{world.url}/metrics")
    check_problem(answer, 401)
    headers = {"Authorization": f"Bearer {world.admin.token}"}
    assert plain.get(f"{world.url}/metrics", headers=headers).status_code == 200


def test_a_token_of_its_own_opens_metrics_and_nothing_else(new_world: MakeWorld) -> None:
    world = new_world(metrics_token="of-the-scraper")
    scraper = world.bearer("of-the-scraper")
    assert scraper.get("/metrics").status_code == 200
    check_problem(scraper.get("/whoami"), 401)
    check_problem(world.bearer("of-the-scrapes").get("/metrics"), 401)
    check_problem(world.bearer(None).get("/metrics"), 401)
    assert world.admin.get("/metrics").status_code == 200


def test_this_machine_may_read_them_where_it_is_told_so(new_world: MakeWorld) -> None:
    world = new_world(metrics_loopback=True)
    assert world.bearer(None).get("/metrics").status_code == 200
    check_problem(world.bearer(None).get("/whoami"), 401)


def test_the_page_and_the_alerts_speak_of_what_there_is(new_world: MakeWorld) -> None:
    """docs/metrics.md names every metric, and the rules use no other."""
    world = new_world(database_folder=TOP)
    names = {name for name, _ in scrape(world) if not name.endswith("_created")}
    with_values = {"compute_refusals_total", "compute_queued_jobs", "compute_leader_epoch"}
    with_values |= {"compute_scheduler_cycles", "compute_scheduler_cycles_cut"}
    with_values |= {"compute_scheduler_round_reached"}  # once a scheduler led
    page = (TOP / "docs/metrics.md").read_text(encoding="utf-8")
    described = set(re.findall(r"^\| `(compute_\w+)", page, re.MULTILINE))
    assert described == names | with_values
    rules = yaml.safe_load((TOP / "infra/deploy/prometheus/alerts.yml").read_text())
    [group] = rules["groups"]
    for rule in group["rules"]:
        used = set(re.findall(r"compute_\w+", rule["expr"]))
        assert used, rule
        assert used <= described, rule
        assert set(rule) >= {"alert", "expr", "for", "labels", "annotations"}
