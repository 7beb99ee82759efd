"""SCRAM over TLS with ACLs on a real broker: who may write the topic, who may read it."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    NewTopic,
    ResourcePattern,
    ResourceType,
)
from kafka.errors import KafkaError

from domain.errors import Denied, Invalid, Unavailable
from infra.kafka import cell_of
from infra.kafka_stream import KafkaStream
from infra.outbox import NOTHING, Anchor
from infra.settings import Settings
from infra.store import Store
from infra.topic import Topic
from tests import real_kafka
from tests.kafka_secured import USERS, Secured, secured
from tests.processors.kafka_cell import add, relay_all
from tests.processors.test_stream import follow
from tests.real_parts import need

PAGE = Path(__file__).parents[2] / "docs" / "events.md"


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker whose ACLs are those of the page, given to `relay` and `reader`."""
    need(not real_kafka.missing(), real_kafka.missing())
    with secured(tmp_path_factory.mktemp("tls")) as running:
        _, script = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        words = [running.address, str(running.ca_file), "admin", "main", "relay", "reader", "mine"]
        done = subprocess.run(
            [sys.executable, "-c", script, *words],
            input=USERS["admin"] + "\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == "5 rules\n", done.stderr
        yield running


@pytest.fixture
def filled(brokers: Secured, store: Store, dsn: str) -> Iterator[list[int]]:
    """What the relay's principal put into the topic it made."""
    positions = add(store, 0, 20)
    relay_all(store, dsn, brokers.cell("relay", "main"))
    yield positions
    admin = brokers.cell("admin", "main").admin()
    admin.delete_topics(["compute.main.events"])
    while "compute.main.events" in admin.list_topics():
        pass
    admin.close()


def test_the_relay_writes_and_a_consumer_reads(brokers: Secured, filled: list[int]) -> None:
    with closing(KafkaStream(brokers.cell("reader", "main"))) as stream:
        assert [event.position for event in follow(stream, 0, 20)] == filled


def test_a_consumer_cannot_write_the_topic(brokers: Secured, filled: list[int]) -> None:
    cell = brokers.cell("reader", "main")
    producer = cell.producer()
    try:
        with pytest.raises(Denied, match="kafka_denied"), cell.reaching():
            producer.send(cell.topic, b"forged", partition=0).get(timeout=20)
    finally:
        producer.close(timeout=0)
    with closing(Topic(brokers.cell("relay", "main"))) as topic:
        assert topic.covered() == Anchor(filled[-1], len(filled) - 1)
        assert [event.position for event in topic.since(NOTHING)] == filled


def test_a_consumer_group_of_the_page_reads(brokers: Secured, filled: list[int]) -> None:
    options: dict[str, Any] = {
        "bootstrap_servers": brokers.address,
        "security_protocol": "SASL_SSL",
        "ssl_cafile": str(brokers.ca_file),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "reader",
        "sasl_plain_password": USERS["reader"],
        "auto_offset_reset": "earliest",
    }
    mine = KafkaConsumer("compute.main.events", group_id="mine", **options)
    try:
        found = [int(dict(next(mine).headers)["ce_position"]) for _ in filled]
    finally:
        mine.close(autocommit=False)
    assert found == filled
    other = KafkaConsumer("compute.main.events", group_id="another", **options)
    try:
        with pytest.raises(KafkaError, match="GroupAuthorizationFailed"):
            other.poll(10_000)
    finally:
        other.close(autocommit=False)


def test_nobody_else_reads_or_writes(brokers: Secured, filled: list[int]) -> None:
    nobody = brokers.cell("nobody", "main")
    with pytest.raises(Denied, match="kafka_denied"), closing(KafkaStream(nobody)) as stream:
        follow(stream, 0, 1)
    with pytest.raises(Denied, match="kafka_denied"):
        Topic(nobody)


@pytest.mark.parametrize("who", ["without a login", "wrong password", "another authority"])
def test_who_cannot_prove_himself_gets_nowhere(
    brokers: Secured, who: str, caplog: pytest.LogCaptureFixture
) -> None:
    login = {"kafka_security": "sasl_ssl", "kafka_user": "reader"}
    password, ca = USERS["reader"], brokers.ca_file
    settings = {
        "without a login": {},
        "wrong password": {**login, "kafka_password": "wr0ng-secret", "kafka_ca_file": ca},
        "another authority": {**login, "kafka_password": password},
    }[who]
    cell = cell_of(Settings(kafka=brokers.address, **settings))  # type: ignore[arg-type]  # a table of them
    with caplog.at_level(logging.DEBUG), pytest.raises(Unavailable, match="kafka_unavailable"):
        KafkaStream(cell)
    told = caplog.text + repr(cell)
    assert not [secret for secret in (*USERS.values(), "wr0ng-secret") if secret in told]


def test_a_relay_that_may_not_make_topics_uses_one_that_is_there(brokers: Secured) -> None:
    with pytest.raises(Denied, match="kafka_denied"):
        Topic(brokers.cell("relay", "made-by-others"))
    cell = brokers.cell("admin", "made-by-others")
    admin = cell.admin()
    admin.create_topics([NewTopic(cell.topic, 1, 1)])
    where = ResourcePattern(ResourceType.TOPIC, cell.topic)
    allow = ACLPermissionType.ALLOW
    admin.create_acls([ACL("User:relay", "*", ACLOperation.WRITE, allow, where)])
    admin.close()
    with closing(Topic(brokers.cell("relay", "made-by-others"))):
        pass


FULL = {"kafka_security": "sasl_ssl", "kafka_user": "relay", "kafka_password": "s3cret-word"}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"kafka_user": ""}, "COMPUTE_KAFKA_USER is not set"),
        ({"kafka_password": ""}, "COMPUTE_KAFKA_PASSWORD_FILE is not set"),
        ({"kafka_security": "plaintext"}, "COMPUTE_KAFKA_USER is set, but"),
        ({"kafka_security": "plaintext", "kafka_user": ""}, "COMPUTE_KAFKA_PASSWORD is set, but"),
        ({"kafka_password_file": "here"}, "COMPUTE_KAFKA_PASSWORD_FILE are both set"),
        ({"kafka_password": "", "kafka_password_file": "absent"}, "PASSWORD_FILE .*absent cannot"),
        ({"kafka_password": "", "kafka_password_file": "empty"}, "PASSWORD_FILE .*empty is empty"),
        ({"kafka_ca_file": "absent"}, "COMPUTE_KAFKA_CA_FILE .*absent is no readable PEM"),
        ({"kafka_ca_file": "here"}, "COMPUTE_KAFKA_CA_FILE .*here is no readable PEM"),
    ],
)
def test_half_a_login_is_refused_by_name(
    changed: dict[str, Any], named: str, tmp_path: Path
) -> None:
    (tmp_path / "here").write_text("s3cret-word\n")
    (tmp_path / "empty").write_text("\n")
    given = FULL | {n: tmp_path / v if n.endswith("_file") else v for n, v in changed.items()}
    with pytest.raises(Invalid, match=named) as refused:
        cell_of(Settings(kafka="a:1", **given))
    assert "s3cret-word" not in str(refused.value)


def test_a_password_from_a_file_is_taken_without_its_line_end(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret word \n")
    given = FULL | {"kafka_password": "", "kafka_password_file": tmp_path / "password"}
    settings = Settings(kafka="a:1", **given)  # type: ignore[arg-type]  # a table of them
    cell = cell_of(settings)
    assert cell.login is not None
    assert cell.login.password == "s3cret word "
    assert "s3cret" not in repr(cell) + repr(settings) + repr(Settings(kafka="a:1", **FULL))  # type: ignore[arg-type]  # as above
