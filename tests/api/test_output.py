"""What a job printed: byte for byte, from any place, in pieces, while it prints and after."""

from __future__ import annotations

import base64
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.node import Node
from tests.api.problem import check_problem
from tests.api.world import World, until

EVERY_BYTE = bytes(range(256)) * 40 + b"\xff\xfe half a rune \xe2\x82" + b"\0\r\n\r\n"
SSE = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def node(world: World) -> Node:
    node = Node(world, gpus=32)
    assert node.register().status_code == 200
    return node


@pytest.fixture
def order(world: World, node: Node) -> Iterator[dict[str, Any]]:
    order = node.run(world.project())
    yield order
    if world.job(order["job"]).phase != "succeeded":
        node.say(node.ended(order))


@pytest.fixture(scope="module")
def printed(world: World, node: Node) -> dict[str, Any]:
    """A job that printed every byte there is, in three pieces, and ended."""
    order = node.run(world.project())
    send(node, order, [EVERY_BYTE[:100], EVERY_BYTE[100:7001], EVERY_BYTE[7001:]])
    node.say(node.ended(order))
    return order


def send(node: Node, order: dict[str, Any], pieces: list[bytes], offset: int = 0) -> int:
    """Hand over pieces one after the other; the size afterwards."""
    for piece in pieces:
        answer = node.send_log(order, offset, piece)
        offset += len(piece)
        assert answer.json() == {"size": offset, "full": False}
    return offset


def decode(text: bytes) -> tuple[bytes, list[int], bool]:
    """The bytes of a stream of events, their ids, and whether it said that it ended."""
    data, ids, ended = b"", [], False
    for event in text.split(b"\n\n"):
        fields = dict(line.split(b": ", 1) for line in event.split(b"\n") if b": " in line)
        if b"id" in fields:
            data += base64.b64decode(fields[b"data"], validate=True)
            ids.append(int(fields[b"id"]))
        ended = ended or fields.get(b"event") == b"end"
    return data, ids, ended


def read(world: World, job: str, headers: dict[str, str] | None = None, **query: Any) -> bytes:
    answer = world.admin.http.get(f"/jobs/{job}/logs", params=query or None, headers=headers)
    assert answer.status_code == 200, answer.text
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind == ("text/event-stream" if headers and "Accept" in headers else "text/plain")
    return answer.content


@given(offset=st.integers(0, len(EVERY_BYTE) + 10))
def test_it_resumes_at_any_byte_as_text_and_as_events(
    world: World, printed: dict[str, Any], offset: int
) -> None:
    job, rest = printed["job"], EVERY_BYTE[offset:]
    assert read(world, job, offset=offset) == rest
    assert read(world, job, offset=offset, follow="true") == rest
    data, ids, ended = decode(read(world, job, SSE, offset=offset))
    assert (data, ended) == (rest, True)
    assert not ids or ids[-1] == len(EVERY_BYTE)
    data, _, _ = decode(read(world, job, {**SSE, "Last-Event-ID": str(offset)}, follow="true"))
    assert data == rest


def test_any_event_id_resumes_after_its_event(world: World, printed: dict[str, Any]) -> None:
    _, ids, _ = decode(read(world, printed["job"], SSE))
    assert len(ids) >= 1
    for number in ids:
        data, later, _ = decode(read(world, printed["job"], {**SSE, "Last-Event-ID": str(number)}))
        assert data == EVERY_BYTE[number:]
        assert later == [i for i in ids if i > number]


@pytest.mark.parametrize("events", [False, True])
def test_followers_that_are_cut_off_again_and_again_get_every_byte_once(
    world: World, node: Node, order: dict[str, Any], events: bool
) -> None:
    luck = random.Random(7)
    whole = luck.randbytes(200_000)
    got, cuts = b"", 0
    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write_slowly, node, order, whole)
        while len(got) < len(whole):
            if writer.done():
                writer.result()
            most, left = luck.randrange(1, 30_000), len(whole) - len(got)
            piece = cut_off(world, order["job"], len(got), most, left, events=events)
            got += piece
            cuts += 1
            assert whole.startswith(got), f"differs after {len(got)} bytes"
    assert cuts > 5
    node.say(node.ended(order))
    assert cut_off(world, order["job"], len(got), 1, 1, events=events) == b""


def write_slowly(node: Node, order: dict[str, Any], whole: bytes) -> None:
    luck, offset = random.Random(3), 0
    while offset < len(whole):
        piece = whole[offset : offset + luck.randrange(1, 9000)]
        offset = send(node, order, [piece], offset)


def cut_off(world: World, job: str, offset: int, most: int, left: int, *, events: bool) -> bytes:
    """Follow from `offset`; leave after `most` bytes on the wire, or `left` bytes of output."""
    headers = {**SSE, "Last-Event-ID": str(offset)} if events else {}
    query: dict[str, Any] = {"follow": "true", **({} if events else {"offset": offset})}
    text = heard = b""
    with world.admin.http.stream(
        "GET", f"/jobs/{job}/logs", params=query, headers=headers
    ) as answer:
        for piece in answer.iter_raw():
            text += piece
            heard = decode(text[: text.rfind(b"\n\n") + 2])[0] if events else text
            if len(text) >= most or len(heard) >= left:
                break
    return heard


def test_following_ends_when_the_job_does_and_not_before(
    world: World, node: Node, order: dict[str, Any]
) -> None:
    send(node, order, [b"one\n"])
    got: list[bytes] = []
    reader = threading.Thread(
        target=lambda: got.append(read(world, order["job"], follow="true")), name="reader"
    )
    reader.start()
    send(node, order, [b"two\n"], 4)
    reader.join(1.5)
    assert reader.is_alive(), "the job still runs"
    assert read(world, order["job"]) == b"one\ntwo\n", "without follow it ends at once"
    node.say(node.ended(order))
    reader.join(10)
    assert got == [b"one\ntwo\n"]


def test_what_is_sent_twice_or_overlaps_is_kept_once(
    world: World, node: Node, order: dict[str, Any]
) -> None:
    send(node, order, [b"0123456789"])
    assert node.send_log(order, 0, b"0123456789").json()["size"] == 10
    assert node.send_log(order, 5, b"56789abc").json()["size"] == 13
    assert read(world, order["job"]) == b"0123456789abc"
    problem = check_problem(node.send_log(order, 20, b"later"), 409, "log_gap")
    assert problem["size"] == 13, "where to go on"
    assert read(world, order["job"]) == b"0123456789abc"


def test_output_ends_at_its_cap(new_world: Any) -> None:
    small = new_world(log_cap_bytes=1000)
    node = Node(small)
    node.register()
    order = node.run(small.project())
    assert node.send_log(order, 0, b"a" * 900).json() == {"size": 900, "full": False}
    assert node.send_log(order, 900, b"b" * 900).json() == {"size": 1000, "full": True}
    assert node.send_log(order, 1000, b"c").json() == {"size": 1000, "full": True}
    assert read(small, order["job"]) == b"a" * 900 + b"b" * 100


def test_output_of_all_attempts_is_one_text(world: World, node: Node) -> None:
    order = node.run(world.project())
    send(node, order, [b"first\n"])
    node.say(node.ended(order, exit_code=1))
    assert world.admin.post(f"/jobs/{order['job']}/requeue").status_code == 202
    world.schedule()
    [second] = [o for o in node.orders() if o["job"] == order["job"]]
    node.say(node.started(second))
    send(node, second, [b"second\n"])
    assert node.send_log(order, 6, b"too late\n").status_code in (404, 409)
    node.say(node.ended(second))
    assert read(world, order["job"], follow="true") == b"first\nsecond\n"


@pytest.mark.parametrize(
    ("query", "headers", "field"),
    [
        ({"offset": "-1"}, {}, "offset"),
        ({"offset": "1e3"}, {}, "offset"),
        ({"offset": str(2**63)}, {}, "offset"),
        ({"rank": "-1"}, {}, "rank"),
        ({"rank": str(2**31)}, {}, "rank"),
        ({"follow": "perhaps"}, {}, "follow"),
        ({"folow": "true"}, {}, "folow"),
        ({}, {"Last-Event-ID": "-1"}, "last-event-id"),
        ({}, {"Last-Event-ID": "1.5"}, "last-event-id"),
        ({}, {"Last-Event-ID": "9" * 30}, "last-event-id"),
    ],
)
def test_a_wrong_place_is_named(
    world: World,
    printed: dict[str, Any],
    query: dict[str, str],
    headers: dict[str, str],
    field: str,
) -> None:
    path = f"/jobs/{printed['job']}/logs"
    problem = check_problem(world.admin.http.get(path, params=query, headers=headers), 422)
    assert problem["errors"][0]["field"] == field


def test_events_of_the_log_resume_after_their_id(world: World, printed: dict[str, Any]) -> None:
    whole = follow_events(world, 0, world.store.head())
    middle = whole[len(whole) // 2]
    assert follow_events(world, middle, whole[-1]) == [n for n in whole if n > middle]


def follow_events(world: World, after: int, until_position: int) -> list[int]:
    found: list[int] = []
    headers = {**SSE, "Last-Event-ID": str(after)}
    with world.admin.http.stream("GET", "/events", headers=headers) as answer:
        for line in answer.iter_lines():
            if line.startswith("id: "):
                found.append(int(line[4:]))
                if found[-1] >= until_position:
                    return found
    return found


def test_a_follower_that_leaves_gives_its_place_back(world: World, order: dict[str, Any]) -> None:
    """Fifty followers that go away leave no waiter behind in the server."""
    for _ in range(50):
        with (
            httpx.Client(base_url=f"{world.url}/api/v1", trust_env=False) as client,
            client.stream(
                "GET",
                f"/jobs/{order['job']}/logs?follow=true",
                headers={"Authorization": f"Bearer {world.admin.token}", **SSE},
            ) as answer,
        ):
            assert next(answer.iter_raw()).startswith(b"retry")
    until(lambda: not world.cell.logs._waiters)
