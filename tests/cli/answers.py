"""What there is in the cell of the command line's tests."""

from __future__ import annotations

from typing import Any

from tests.cli.cell import NOW, SUBMITTED

HELD = {
    "consumer": "jobs",
    "stream": "job/job-01kaxy00000000000000000042",
    "position": 17,
    "version": 3,
    "event": "job.teleported.v9",
    "error": "KeyError: 'job.teleported.v9'",
    "stops": False,
    "retry": False,
    "since": NOW,
    "held": 4,
}
NODE = {
    "id": "node-001",
    "pool": "a100",
    "alive": True,
    "cordoned": False,
    "draining": False,
    "cordon_reason": "",
    "cordoned_until": None,
    "capacity": {"cpu_milli": 16000, "memory_bytes": 64 * 2**30, "gpu": 2, "gpu_milli": 2000},
    "allocated": {"cpu_milli": 8500, "memory_bytes": 32 * 2**30, "gpu": 1, "gpu_milli": 1000},
    "free": {"cpu_milli": 7500, "memory_bytes": 32 * 2**30, "gpu": 1, "gpu_milli": 1000},
    "devices": [{"id": "GPU-0", "model": "A100", "memory_bytes": 80 * 2**30, "job": "job-9"}],
    "runners": ["docker", "sandbox"],
    "labels": {"zone": "a"},
    "rack": "r1",
    "agent_version": "0.1.0",
    "jobs": ["job-9"],
}
RESERVATION: dict[str, Any] = {
    "name": "course",
    "state": "scheduled",
    "window": {"start": NOW, "end": NOW, "nodes": ["node-001", "node-002"]},
    "start": NOW,
    "duration_seconds": 28_800,
    "every_seconds": 86_400,
    "until": None,
    "nodes": [],
    "gpus": 3,
    "gpu_type": "A100",
    "pool": "",
    "projects": ["teaching"],
    "users": [],
    "jobs": [],
    "maintenance": False,
    "notice_seconds": 86_400,
    "reason": "winter school",
    "created_by": "olga",
    "created_at": SUBMITTED,
}
REPAIR = {
    **RESERVATION,
    "name": "fans",
    "state": "over",
    "window": None,
    "every_seconds": None,
    "nodes": ["node-003"],
    "gpus": 0,
    "gpu_type": "",
    "projects": [],
    "maintenance": True,
    "reason": "",
}
POOL = {"name": "a100", "nodes": 3, "alive": 2, "gpu_models": ["A100"]} | {
    name: NODE[name] for name in ("capacity", "allocated", "free")
}
PROJECT = {
    "id": "ml-research",
    "max_inherited_priority": 0,
    "description": "Models",
    "members": {"ada": "submitter"},
    "quota": {"gpu": 8, "cpu_milli": 1500, "memory_bytes": None},
    "used": {"cpu_milli": 1000, "memory_bytes": 2**30, "gpu": 2, "gpu_milli": 2000},
}
TOKEN = {
    "id": "token-1",
    "principal": "ada",
    "roles": ["viewer"],
    "projects": {"ml-research": "submitter"},
    "node": None,
    "issued_at": SUBMITTED,
    "expires_at": NOW,
    "revoked_at": None,
}
BUDGETS: dict[str, Any] = {
    "currency": "USD",
    "budgets": [
        {
            "per": "month",
            "length": 1,
            "user": None,
            "gpu_seconds": 360_001,
            "money_micro": 5_000_000,
        },
        {"per": "hours", "length": 24, "user": "*", "gpu_seconds": 7200, "money_micro": None},
    ],
    "items": [
        {
            "per": "month",
            "length": 1,
            "user": None,
            "since": "2026-11-01T00:00:00.000000Z",
            "until": "2026-12-01T00:00:00.000000Z",
            "gpu_seconds": {"limit": 360_001, "used": 5400, "reserved": 1800, "left": 352_801},
            "money_micro": {
                "limit": 5_000_000,
                "used": 2_500_010,
                "reserved": 0,
                "left": 2_499_990,
            },
        },
        {
            "per": "hours",
            "length": 24,
            "user": "ada",
            "since": "2026-11-23T08:00:00.000000Z",
            "until": "2026-11-24T09:00:00.000000Z",
            "gpu_seconds": {"limit": 7200, "used": 0, "reserved": 7200, "left": 0},
            "money_micro": None,
        },
    ],
}
SETTINGS: dict[str, dict[str, Any]] = {
    "scheduler": {"enable_preemption": True, "grace_seconds": 30, "interval_seconds": 1},
    "prices": {
        "currency": "USD",
        "cpu_micro": 40_000,
        "memory_gib_micro": 5_000,
        "gpu_micro": 2_000_000,
        "gpus": {"A100": 2_500_000},
    },
}
POLICY: dict[str, Any] = {
    "scheduler": {
        "primary_policy": "priority",
        "scheduling_interval": 5,
        "fair_share": {"window_hours": 168, "decay_factor": 0.5},
    },
    "clusters": {
        "production": {
            "nodes": [
                {
                    "id": "node-001",
                    "gpus": 8,
                    "gpu_type": "H100",
                    "memory_gb": 512,
                    "cpu_cores": 128,
                }
            ]
        }
    },
}
COST = {"gpu_micro": 2_500_000, "cpu_micro": 10, "memory_micro": 0, "total_micro": 2_500_010}
AHEAD = {"id": "job-01kaxy00000000000000000042", "name": "big", "priority": 50}
HISTORY = [
    {"at": SUBMITTED, "position": 1, "name": "job.submitted.v1", "text": "submitted by ada"},
    {"at": SUBMITTED, "position": 2, "name": "job.queued.v1", "text": "queued: submitted"},
]
