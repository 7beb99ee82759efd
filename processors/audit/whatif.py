"""The recorded submissions under another policy, quota or fleet, beside what happened."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import msgspec

from domain.errors import Invalid
from domain.node.events import Registered
from domain.policy import policy as policies
from domain.policy.events import SchedulerSettings
from domain.policy.policy import Policy
from domain.project.events import Quota
from domain.scheduling.ledger import Ledger, Report
from domain.scheduling.rehearse import Otherwise, Rehearsed, rehearse
from domain.scheduling.script import script
from domain.scheduling.snapshot import Snapshot
from domain.values.ids import DeviceId, NodeId, ProjectId
from domain.values.quantity import GIB
from domain.values.resources import Resources
from domain.values.time import to_text
from domain.values.topology import Device
from infra.codec import to_builtins
from infra.snapshots import Snapshots
from infra.store import Log
from processors.audit.moments import Tell, events, folded, whole

PLAIN = Resources(64_000, 512 * GIB, 8000)
"""What a node is taken to offer whose GPUs no recorded node has."""


@dataclass(frozen=True)
class Fleet:
    """`count` more nodes (fewer if negative) like the largest recorded one with such GPUs."""

    count: int
    model: str


@dataclass(frozen=True)
class Wish:
    """What is to be other than recorded; `policy` are scheduler settings by name."""

    policy: dict[str, Any] | None = None
    quotas: dict[str, Quota] | None = None
    nodes: tuple[Fleet, ...] = ()


def whatif(
    log: Log, kept: Snapshots, begin: int, end: int, wish: Wish, tell: Tell = lambda _: None
) -> dict[str, Any]:
    """The window as recorded, rehearsed as it was, and rehearsed as wished.

    A beginning in the middle of a transaction stands for its end.
    """
    begin = whole(log, begin)
    start = folded(log, kept, begin, tell)
    history = list(events(log, begin, end, tell))
    if not history:
        raise Invalid("empty_window", "from and to: nothing was recorded between them", field="to")
    before = log.read(begin - 1, 1) if begin else []
    at = before[0].recorded_at if before else history[0].recorded_at
    until = history[-1].recorded_at
    ledger = Ledger(start, at)
    for recorded in history:
        ledger.apply(recorded)
    told = script(start, at, history)
    other = otherwise(start, history_nodes(start, history), wish)
    same = rehearse(start, at, until, told, Otherwise())
    changed = rehearse(start, at, until, told, other)
    return {
        "from": {"position": begin, "at": to_text(at)},
        "to": {"position": history[-1].position, "at": to_text(until)},
        "window_us": until - at,
        "happened": _report(ledger.close(until)),
        "as_recorded": _rehearsed(same),
        "as_wished": _rehearsed(changed),
        "assumed": {
            "leaving_us": told.leaving_us,
            "starting_us": told.starting_us,
            "left_out": dict(sorted(told.left_out.items())),
        },
    }


def history_nodes(start: Snapshot, history: list[Any]) -> dict[NodeId, Registered]:
    """Every node's newest offer, of those there at the start and those that came."""
    found = {name: state.node.offer for name, state in start.nodes.items()}
    for recorded in history:
        if isinstance(recorded.event, Registered):
            found[recorded.event.node] = recorded.event
    return found


def otherwise(start: Snapshot, offers: dict[NodeId, Registered], wish: Wish) -> Otherwise:
    """The wish in the words of rehearsals. Invalid where it asks for what cannot be."""
    settings = None
    if wish.policy is not None:
        settings = _settings(start.policy, wish.policy)
    join: list[Registered] = []
    without: set[NodeId] = set()
    for fleet in wish.nodes:
        if fleet.count >= 0:
            join += [_like(offers, fleet.model, len(join) + n) for n in range(fleet.count)]
            continue
        having = [name for name, offer in sorted(offers.items()) if _models(offer, fleet.model)]
        if len(having) < -fleet.count:
            detail = f"nodes: there are only {len(having)} with {fleet.model or 'no GPUs'}"
            raise Invalid("no_such_nodes", detail, field="nodes")
        without |= set(having[fleet.count :])
    quotas = tuple((ProjectId(name), quota) for name, quota in sorted((wish.quotas or {}).items()))
    return Otherwise(settings, quotas, tuple(join), frozenset(without))


def _settings(policy: Policy, wanted: dict[str, Any]) -> SchedulerSettings:
    known = to_builtins(policy.scheduler)
    unknown = sorted(wanted.keys() - known.keys())
    if unknown:
        detail = f"policy.{unknown[0]}: there is no such setting; there are {', '.join(known)}"
        raise Invalid("no_such_setting", detail, field=f"policy.{unknown[0]}")
    try:
        settings = msgspec.convert({**known, **wanted}, SchedulerSettings)
    except msgspec.ValidationError as error:
        raise Invalid("bad_policy", f"policy: {error}", field="policy") from error
    policies.set_scheduler(policy, settings)
    return settings


def _models(offer: Registered, model: str) -> int:
    """How many such GPUs it offers; for no model, 1 for a node without any."""
    if not model:
        return int(not offer.devices)
    return sum(device.model == model for device in offer.devices)


def _like(offers: dict[NodeId, Registered], model: str, number: int) -> Registered:
    name = NodeId(f"what-if-{number:05d}")
    having = [offer for offer in offers.values() if _models(offer, model)]
    best = max(having, key=lambda o: (_models(o, model), o.capacity.cpu_milli), default=None)
    if best is None:
        capacity = PLAIN if model else replace(PLAIN, gpu_milli=0)
        best = Registered(name, "what-if", capacity, (), ("docker", "sandbox"))
        kinds = [model] * (capacity.gpu_milli // 1000)
        memory = 80 * GIB
    else:
        kinds = [device.model for device in best.devices]
        memory = max((device.memory_bytes for device in best.devices), default=0)
    devices = tuple(Device(DeviceId(f"{name}-{n}"), kind, memory) for n, kind in enumerate(kinds))
    return replace(best, node=name, boot="what-if", devices=devices)


def _rehearsed(found: Rehearsed) -> dict[str, Any]:
    return {
        **_report(found.report),
        "cycles": found.cycles,
        "unknown_ends": found.unknown,
        "refused": dict(sorted(found.refused.items())),
    }


def _report(report: Report) -> dict[str, Any]:
    return {
        "projects": {name: asdict(a) for name, a in sorted(report.accounts.items())},
        "cpu": {"used_milli_us": report.cpu_used, "there_milli_us": report.cpu_there},
        "gpu": {"used_milli_us": report.gpu_used, "there_milli_us": report.gpu_there},
    }
