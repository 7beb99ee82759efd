"""The calls people try first, exactly as they are written everywhere."""

from __future__ import annotations

from domain.access import Role
from tests.api.node import Node
from tests.api.world import World

JOB = {
    "name": "training-job",
    "project_id": "ml-research",
    "docker_image": "pytorch:latest",
    "command": ["python", "train.py"],
    "resources": {"cpu": 8, "memory_gb": 32, "gpu": 2, "gpu_type": "A100"},
    "checkpointing": {"enable_checkpointing": True, "checkpoint_interval_seconds": 3600},
}


def test_submit_look_at_the_pools_and_read_the_log(world: World) -> None:
    project = world.project("ml-research")
    ada = world.person("ada", projects={project: Role.SUBMITTER})
    node = Node(world, gpus=2)
    devices = [{**device, "model": "NVIDIA A100-SXM4-80GB"} for device in node.devices]
    assert node.register(devices=devices, runners=["docker"]).status_code == 200

    submitted = ada.post("/jobs", JOB)
    assert submitted.status_code == 201
    job = submitted.json()
    assert submitted.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert submitted.headers["log-position"] == str(job["position"])
    asked = {
        "cpu_milli": 8000,
        "memory_bytes": 32 * 2**30,
        "gpu": 2,
        "gpu_milli": 2000,
        "gpu_types": ["A100"],
        "storage_bytes": 0,
        "network_mbps": 0,
        "mig": "",
    }
    assert job["resources"] == asked
    assert job["checkpointing"] == {"enabled": True, "interval_seconds": 3600}
    assert (job["phase"], job["user"], job["docker_image"]) == ("queued", "ada", "pytorch:latest")

    [pool] = ada.get("/resources/pools").json()["items"]
    whole = {"cpu_milli": 16_000, "memory_bytes": 2**36, "gpu": 2, "gpu_milli": 2000}
    nothing = {"cpu_milli": 0, "memory_bytes": 0, "gpu": 0, "gpu_milli": 0}
    assert pool == {
        "name": "a100",
        "nodes": 1,
        "alive": 1,
        "gpu_models": ["A100"],
        "capacity": whole,
        "allocated": nothing,
        "free": whole,
    }

    world.schedule()
    [order] = node.orders()
    held = {"cpu_milli": 8000, "memory_bytes": 32 * 2**30, "gpu": 2, "gpu_milli": 2000}
    [pool] = ada.get("/resources/pools").json()["items"]
    assert pool["allocated"] == held
    assert pool["free"] == {"cpu_milli": 8000, "memory_bytes": 2**35, "gpu": 0, "gpu_milli": 0}
    node.say(node.started(order))
    assert node.send_log(order, 0, b"epoch 1\n").status_code == 200
    node.say(node.ended(order))
    log = ada.get(f"/jobs/{job['id']}/logs", follow="true")
    assert log.headers["content-type"] == "text/plain; charset=utf-8"
    assert log.content == b"epoch 1\n"
    assert ada.get(f"/jobs/{job['id']}").json()["phase"] == "succeeded"


def test_a_submission_is_answered_as_it_reads_later(world: World) -> None:
    project = world.project()
    answer = world.admin.post("/jobs", {**JOB, "project_id": project}).json()
    later = world.admin.get(f"/jobs/{answer['id']}", min_position=answer["position"]).json()
    moved = {"submitted_at", "queue_position"}  # set when recorded, and by who else waits
    assert {k for k in later if later[k] != answer[k]} <= moved
