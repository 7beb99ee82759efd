"""Metrics for Prometheus: the cell as it is now, and what this process did."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from api.auth import Requires, scheme
from api.cell import Cell, Connection
from api.strict import StrictRoute
from domain.access import Permission
from domain.errors import Unavailable
from infra import quarantine
from projections import gauges, queue

router = APIRouter(route_class=StrictRoute, tags=["metrics"])
TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}


class Counters:
    """What this process counts; the cell's state is read when it is asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._appends = Counter(
            "compute_appends", "Appends to the log by this process.", registry=self.registry
        )
        self._events = Counter(
            "compute_appended_events", "Events recorded by this process.", registry=self.registry
        )
        self._refusals = Counter(
            "compute_refusals",
            "Requests this process refused, by code (docs/problems.md).",
            ["code"],
            registry=self.registry,
        )

    def appended(self, events: int) -> None:
        """An append of so many events."""
        self._appends.inc()
        self._events.inc(events)

    def refused(self, code: str) -> None:
        """A request was answered with this problem."""
        self._refusals.labels(code).inc()


class CellState(Collector):
    """The state of the cell, from one connection; of a database that is away, only that it is."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def collect(self) -> Iterable[Metric]:
        """Every family, each with its samples."""
        yield _one("compute_build_info", "The version that runs.", "version", {_version(): 1})
        try:
            with self._cell.connection() as connection:
                found = list(_families(connection, self._cell))
        except Unavailable:
            found = []
        yield _plain("compute_database_up", "Whether the database answers.", float(bool(found)))
        yield from found


def _families(connection: Connection, cell: Cell) -> Iterable[Metric]:
    head = cell.store.head()
    lags = gauges.lags(connection, head)
    held = {lag.consumer: 0 for lag in lags} | quarantine.counts(connection)
    yield _plain("compute_log_head_position", "The position of the newest event.", head)
    yield _one(
        "compute_consumer_position",
        "How far a consumer of the log has come.",
        "consumer",
        {lag.consumer: lag.position for lag in lags},
    )
    yield _one(
        "compute_consumer_lag_events",
        "Events of the log a consumer has not taken yet.",
        "consumer",
        {lag.consumer: lag.events for lag in lags},
    )
    yield _one(
        "compute_consumer_lag_seconds",
        "Age of the oldest event a consumer has not taken yet.",
        "consumer",
        {lag.consumer: lag.seconds for lag in lags},
    )
    yield _one(
        "compute_quarantined_streams",
        "Streams a consumer holds back (docs/quarantine.md).",
        "consumer",
        held,
    )
    yield _one(
        "compute_queued_jobs", "Jobs that wait.", "reason", queue.by_reason(connection, None)
    )
    yield _one("compute_nodes", "Nodes by state.", "state", gauges.nodes(connection))
    yield _one(
        "compute_leader_epoch",
        "Epoch of a role; it grows whenever the role is taken over.",
        "role",
        gauges.epochs(connection),
    )
    rounds = gauges.rounds(connection)
    if rounds is not None:
        yield _plain(
            "compute_scheduler_cycles", "Cycles since the scheduler's leader began.", rounds.cycles
        )
        yield _plain(
            "compute_scheduler_cycles_cut",
            "Of these, those that did not come to the end of the queue.",
            rounds.cut,
        )
        yield _plain(
            "compute_scheduler_round_reached",
            "The part of the queue's lines that the round under way has come to.",
            rounds.reached,
        )
    free = cell.space.free()
    if free is not None:
        yield _plain("compute_database_free_bytes", "Room on the database's disk.", free)
    yield _plain(
        "compute_read_only", "1 while commands are refused for want of room.", cell.space.short()
    )


def _plain(name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text)
    family.add_metric([], float(value))
    return family


def _one(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], float(value))
    return family


def _version() -> str:
    try:
        return version("compute-platform-server")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"


class Scraper:
    """Who reads metrics: a token that may read the cluster, the scraper's own, or this machine."""

    permission = Permission.READ_CLUSTER
    _token = Requires(permission, in_project=False)

    def __call__(
        self,
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)],
    ) -> None:
        settings = request.app.state.cell.settings
        if settings.metrics_loopback and _is_loopback(request):
            return
        given = "" if credentials is None else credentials.credentials
        own = settings.metrics_token
        if own and hmac.compare_digest(given.encode(), own.encode()):
            return
        self._token(request, credentials)


def _is_loopback(request: Request) -> bool:
    return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback


GUARDS = [Depends(Scraper())]


@router.get("/metrics", response_class=Response, responses={200: TEXT}, dependencies=GUARDS)
def metrics(request: Request) -> Response:
    """The metrics in the text format of Prometheus (docs/metrics.md)."""
    counters: Counters = request.app.state.counters
    return Response(generate_latest(counters.registry), media_type=CONTENT_TYPE_LATEST)
