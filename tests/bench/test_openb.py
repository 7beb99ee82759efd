"""The placement benchmarks on lists made here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.openb import POLICIES
from tests.bench.test_door import bench

NODES = "sn,cpu_milli,memory_mib,gpu,model\n" + "".join(
    f"n{i},{cpu},{memory},{gpus},{model}\n"
    for i, (cpu, memory, gpus, model) in enumerate(
        [(64000, 262144, 8, "A"), (32000, 131072, 4, "B"), (16000, 65536, 2, "A")] * 3
    )
)
PODS = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n" + "".join(
    f"p{i:03},{cpu},4096,{gpus},{milli},{spec}\n"
    for i, (cpu, gpus, milli, spec) in enumerate(
        [(4000, 1, 1000, ""), (2000, 1, 500, "A|B"), (1000, 1, 250, ""), (8000, 2, 1000, "A")] * 8
        + [(2000, 0, 0, ""), (16000, 4, 1000, "")]
    )
)


def lists(folder: Path, nodes: str = NODES, pods: str = PODS) -> tuple[str, ...]:
    (folder / "nodes.csv").write_text(nodes)
    (folder / "tasks.csv").write_text(pods)
    return "--nodes", str(folder / "nodes.csv"), "--pods", str(folder / "tasks.csv")


def test_every_policy_is_reported_beside_what_was_published(tmp_path: Path) -> None:
    expected = tmp_path / "expected.csv"
    expected.write_text(
        "workload,sc_policy,tune,seed,total_gpus,100,130\n"
        "tasks,06-FGD,1.3,1,42,80,90\ntasks,06-FGD,1.3,2,42,82,92\n"
        "tasks,03-GpuClustering,1.3,1,42,70,75\n"
    )
    done = bench("openb", *lists(tmp_path), "--policy", "all", "--seeds", "1-3", "--json",
                 "--expected", str(expected))  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}
    for policy in POLICIES:
        for point in ("allocated-100", "allocated-130", "fragments-50", "fragments-90"):
            assert 0 <= found[f"openb.tasks.{policy}.{point}"]["value"] <= 100
        full = found[f"openb.tasks.{policy}.allocated-130"]["value"]
        assert found[f"openb.tasks.{policy}.allocated-100"]["value"] <= full
        assert full > 60
    ours = found["openb.tasks.default.allocated-130"]
    assert ours["against"] == "published 91.00"
    above = found["openb.tasks.default.allocated-130.above"]["value"]
    assert above == pytest.approx(ours["value"] - 91)
    assert "openb.tasks.clustering.allocated-100.above" in found
    assert "openb.tasks.random.allocated-100.above" not in found


def test_the_same_seeds_give_the_same_figures(tmp_path: Path) -> None:
    options = (*lists(tmp_path), "--policy", "default", "random", "--seeds", "5", "--json")
    first, second = bench("openb", *options), bench("openb", *options)
    assert first.stdout == second.stdout != ""


@pytest.mark.parametrize(
    ("nodes", "pods", "said"),
    [
        (NODES.replace("gpu,", "gpus,"), PODS, "nodes.csv: column gpu is missing"),
        (NODES, PODS.replace("p001,2000", "p001,-2"), "tasks.csv:3: cpu_milli is no whole number"),
        (NODES, PODS.partition("\n")[0], "tasks.csv: has no rows"),
        (NODES.replace("4,B", "17,B", 1), PODS, "nodes.csv:3: gpus: must be 0 to 16"),
    ],
)
def test_a_bad_list_is_named_with_its_line(
    tmp_path: Path, nodes: str, pods: str, said: str
) -> None:
    done = bench("openb", *lists(tmp_path, nodes, pods))
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_lazy_and_full_scan_decide_alike_on_a_fleet_that_empties_and_fills() -> None:
    done = bench("placement", "--nodes", "70", "--size", "900", "--scans", "900", "--gangs", "50",
                 "--shapes", "40", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = [json.loads(line)["name"] for line in done.stdout.splitlines()]
    assert names == ["placement.scan", "placement.lazy", "placement.gangs"]
    assert "the first 900 decisions are identical" in done.stderr
