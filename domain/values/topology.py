"""Topology: devices of a node and where the node stands."""

from __future__ import annotations

import re
from dataclasses import dataclass

from domain.values.ids import DeviceId
from domain.values.mig import Slot

_KNOWN = re.compile(r"\b(GB?[0-9]{3}|[ABHLPTV][0-9]{1,3}S?|MI[0-9]{3}[AX]?|RTX ?[0-9]{4})\b")


@dataclass(frozen=True)
class Device:
    """One GPU of a node: its stable id (NVML UUID), model and memory in bytes.

    `island` names the NVLink or NVSwitch island it belongs to and `numa` the memory it is near;
    GPUs of one seat are taken from one island and one NUMA node where that is possible. One in MIG
    mode is given away as instances only: `mig` are the places they may have.
    """

    id: DeviceId
    model: str
    memory_bytes: int
    island: str = ""
    numa: int = 0
    mig: tuple[Slot, ...] = ()


@dataclass(frozen=True)
class Location:
    """Where a node stands, from near to far; empty where it was not told."""

    rack: str = ""
    spine: str = ""


def model_of(product_name: str) -> str:
    """The model people ask for, from a product name: `NVIDIA A100-SXM4-80GB` is `A100`."""
    match = _KNOWN.search(product_name.upper().replace("-", " "))
    return match.group(1).replace(" ", "") if match else product_name.strip().upper()
