"""Crowded cells drawn at random: nodes full of jobs of all kinds, and jobs that want their room."""

from __future__ import annotations

import random
from dataclasses import replace

from domain.job.spec import JobSpec
from domain.job.where import Where
from domain.node.events import Registered
from domain.policy.events import PreemptionRules, SchedulerSet, SchedulerSettings
from domain.values.ids import DeviceId, NodeId, ProjectId
from domain.values.resources import Resources
from domain.values.time import SECOND
from domain.values.topology import Device, Location
from tests.domain.examples import GIB
from tests.domain.scheduling import drawn
from tests.domain.scheduling.cell import Cell


def settings_of(rules: PreemptionRules, depth: int) -> SchedulerSettings:
    """Gangs may start, starts of so many blocked jobs are held, and these rules hold."""
    return SchedulerSettings(
        preemption=rules,
        enable_gang_scheduling=True,
        enable_backfill=depth > 0,
        backfill_depth=max(1, depth),
    )


def crowded_cell(draw: random.Random, nodes: int, board_from: int = 64) -> Cell:
    """Nodes full of jobs of all kinds; some then offer less, are cordoned or lost."""
    cell = Cell()
    cell.snapshot.board_from = board_from
    cell.record(
        "policy/cell", [SchedulerSet(settings_of(PreemptionRules(priority_threshold=0), 1))]
    )
    offers = [a_node(draw, number) for number in range(nodes)]
    for offer in offers:
        cell.offer(offer)
    for number in range(nodes * 6):
        cell.submit(f"small-{number}", small_job(draw))
    while made := cell.decide().placements:
        for placement in made:
            if draw.random() < 0.9:
                cell.start(placement.job)
        cell.now += draw.randint(1, 100) * SECOND
        for job in draw.sample(list(cell.snapshot.lines.of_job), len(cell.snapshot.lines) // 2):
            cell.cancel(job)
    for offer in offers:
        match draw.randrange(12):
            case 0:
                smaller = replace(offer.capacity, cpu_milli=offer.capacity.cpu_milli // 2)
                cell.offer(replace(offer, capacity=smaller))
            case 1:
                cell.cordon(offer.node)
            case 2:
                cell.lose(offer.node)
    cell.conclude()
    return cell


def a_node(draw: random.Random, number: int) -> Registered:
    """With no GPUs or some of one model."""
    gpus, model = draw.choice((0, 4, 8)), draw.choice(("A100", "H100"))
    devices = tuple(Device(DeviceId(f"n{number}-{n}"), model, 80 * GIB) for n in range(gpus))
    capacity = Resources(32_000, 128 * GIB, gpus * 1000, 1000, 1000)
    location = Location(f"rack-{number // 8}", "spine")
    return Registered(NodeId(f"n{number}"), "boot", capacity, devices, ("sandbox",), "", location)


def small_job(draw: random.Random) -> JobSpec:
    """One of little importance."""
    gpu = draw.choice((0, 0, 250, 400, 1000, 2000))
    network = draw.choice((0, 0, 0, 100))
    resources = Resources(
        draw.choice((1000, 2000, 6000)), draw.randint(1, 9) * GIB, gpu, 0, network
    )
    return JobSpec(
        "small",
        ProjectId(draw.choice(("ml", "bio"))),
        ("true",),
        resources=resources,
        replicas=draw.choice((1, 1, 1, 2, 3)),
        priority=draw.randint(0, 3),
        estimate_seconds=draw.choice((None, 100, 1000)),
        preemptible=draw.random() < 0.95,
        where=Where(exclusive=draw.random() < 0.04),
    )


def asking_job(draw: random.Random) -> JobSpec:
    """One that is worth more than some."""
    gpu = draw.choice((0, 300, 1000, 2000, 4000, 8000))
    resources = Resources(
        draw.choice((0, 3000, 8000, 16_000)), draw.randint(0, 20) * GIB, gpu, 0,
        draw.choice((0, 0, 500)),
    )  # fmt: skip
    return drawn.job(draw, "asks", resources, draw.randint(1, 5), (None, 100, 1000))
