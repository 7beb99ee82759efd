"""The auditor's program: real signatures, and every way a log of 10,000 events can be changed."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from compute_platform import verify as verifier
from compute_platform.verify import Auditor, Broken, audit, inclusion, verify
from domain.merkle import Tree, inclusion_proof, leaf_hash
from infra.envelope import envelope
from infra.heads import Head, Key

SIZE, EVERY = 10_000, 50
Lines = list[bytes]


@dataclass(frozen=True)
class Exported:
    """An export, part by part; snapshots of the auditor stand at every head."""

    key: Key
    heads: list[str]
    events: Lines
    snapshots: list[Auditor]

    def lines(self, heads: list[str] | None = None, events: Lines | None = None) -> Lines:
        """The whole of it, with these parts instead."""
        heads = self.heads if heads is None else heads
        first = verifier.header(asdict(self.newest()), len(heads))
        texts = [first, *(head + "\n" for head in heads)]
        return [*(text.encode() for text in texts), *(self.events if events is None else events)]

    def newest(self) -> Head:
        """The last head."""
        return Head(**verifier._head(self.heads[-1], "head"))


def grow(key: Key, size: int, every: int, salt: str = "") -> tuple[list[str], Lines]:
    """Heads and events of a log."""
    tree, heads, events, before = Tree(), [], [], 0
    for number in range(1, size + 1):
        position = number + number // 7  # with gaps, as a log has them
        state = b'{"actor":"ada%b","epoch":null,"data":{"n":%d}}' % (salt.encode(), number)
        stream = f"job/job-{number // 9}"
        line = envelope(before, position, stream, number % 9 + 1, "job.held.v1", state, number)
        tree.add(leaf_hash(line))
        events.append(line + b"\n")
        before = position
        if number % every == 0 or number == size:
            root = tree.root().hex()
            heads.append(key.sign(Head("main", "t1", number, root, position, number, "")).line())
    return heads, events


@pytest.fixture(scope="module")
def log() -> Exported:
    key = Key(Ed25519PrivateKey.generate())
    heads, events = grow(key, SIZE, EVERY)
    auditor = Auditor(key.public, heads)
    snapshots = []
    for number, line in enumerate(events):
        if number % EVERY == 0:
            snapshots.append(auditor.copy())
        auditor.event(line)
    auditor.end()
    return Exported(key, heads, events, snapshots)


def near(log: Exported, at: int) -> tuple[Lines, int]:
    """The lines from the head before index `at` on, past two heads, and the place of `at` there."""
    start = at // EVERY * EVERY
    return log.events[start : start + 2 * EVERY], at - start


def caught(log: Exported, at: int, changed: Lines) -> bool:
    """Whether lines changed from index `at` on are found out.

    All before the head before `at` is as it was, so the auditor goes on from there: it does what it
    would do from the beginning. What is wrong shows at the first head.
    """
    auditor = log.snapshots[at // EVERY].copy()
    try:
        for line in changed:
            auditor.event(line)
        auditor.end()
    except Broken:
        return True
    return False


def test_what_is_as_it_was_passes(log: Exported) -> None:
    assert audit(log.key.public, log.lines()).size == SIZE
    for at in range(0, SIZE, EVERY):
        auditor = log.snapshots[at // EVERY].copy()
        for line in near(log, at)[0]:
            auditor.event(line)


def test_every_deletion_is_found(log: Exported) -> None:
    for at in range(SIZE):
        lines, place = near(log, at)
        del lines[place]
        assert caught(log, at, lines)


def test_every_insertion_is_found(log: Exported) -> None:
    for at in range(SIZE):
        lines, place = near(log, at)
        lines.insert(place, lines[place])
        assert caught(log, at, lines)


def test_every_swap_of_neighbours_is_found(log: Exported) -> None:
    for at in range(SIZE - 1):
        lines, place = near(log, at)
        lines[place : place + 2] = lines[place : place + 2][::-1]
        assert caught(log, at, lines)


def test_a_renumbered_deletion_insertion_or_swap_is_found_by_the_tree(log: Exported) -> None:
    """Whoever also mends the positions is found at the next head."""
    for at in range(0, SIZE, 7):
        for kind in range(3):
            lines, place = near(log, at)
            if kind == 0:
                del lines[place]
            elif kind == 1:
                lines.insert(place, lines[place])
            elif place + 1 < len(lines):
                lines[place : place + 2] = lines[place : place + 2][::-1]
            else:
                continue
            position, mended = log.snapshots[at // EVERY]._position, []
            for line in lines:
                end = line.index(b',"stream"')
                mended.append(
                    b'{"position":%d,"previous":%d' % (position + 1, position) + line[end:]
                )
                position += 1
            assert caught(log, at, mended)


def test_every_flip_is_found(log: Exported) -> None:
    """Two bytes of every event, and every byte of each 500th, each with one bit or more changed."""
    dice = random.Random(1)
    for at, line in enumerate(log.events):
        places = range(len(line)) if at % 500 == 0 else dice.sample(range(len(line)), 2)
        for place in places:
            flipped = bytearray(line)
            flipped[place] ^= dice.randrange(1, 256)

            lines, index = near(log, at)
            lines[index] = bytes(flipped)
            changed = b"".join(lines).splitlines(keepends=True) if b"\n" in flipped[:-1] else lines
            assert caught(log, at, changed), (at, place)


def test_every_truncation_is_found(log: Exported) -> None:
    """A cut at any event shows by the heads that are left."""
    for at in range(SIZE):
        lines, place = near(log, at)
        assert caught(log, at, lines[:place])


@pytest.mark.parametrize("each", range(0, 100, 9))
def test_every_flip_of_head_and_first_line_is_found(log: Exported, each: int) -> None:
    """Of a small export in whole: its first line and heads have no byte to spare."""
    heads, events = grow(log.key, 3, 2)
    good = b"".join([verifier.header({"cell": "main", "tree": "t1"}, 2).encode()])
    good += b"".join(head.encode() + b"\n" for head in heads) + b"".join(events)
    assert audit(log.key.public, good.splitlines(keepends=True)).size == 3
    for place in range(each, len(good), 100):
        flipped = bytearray(good)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(Broken):
            audit(log.key.public, bytes(flipped).splitlines(keepends=True))


def test_a_rollback_shows_by_a_head_kept_elsewhere(log: Exported) -> None:
    older = [log.heads[:100], log.events[: 100 * EVERY]]
    lines = log.lines(older[0], older[1])  # type: ignore[arg-type]  # one of each
    assert audit(log.key.public, lines).size == 100 * EVERY  # by itself it is as it was signed
    with pytest.raises(Broken, match="were signed"):
        audit(log.key.public, lines, log.heads)


def test_a_fork_shows_by_a_head_kept_elsewhere(log: Exported) -> None:
    """Two histories, both well signed: one of them is not what was witnessed."""
    heads, events = grow(log.key, SIZE, EVERY, salt="!")
    other = Exported(log.key, heads, events, [])
    assert audit(log.key.public, other.lines()).size == SIZE
    with pytest.raises(Broken, match="are not those signed"):
        audit(log.key.public, other.lines(), log.heads[40:41])
    with pytest.raises(Broken):
        audit(log.key.public, log.lines([*log.heads, heads[-1]]))


def test_heads_of_another_key_or_tree_or_order_are_refused(log: Exported) -> None:
    stranger = Key(Ed25519PrivateKey.generate())
    with pytest.raises(Broken, match="another key"):
        audit(stranger.public, log.lines())
    heads, _ = grow(stranger, SIZE, SIZE)
    with pytest.raises(Broken, match="does not know"):
        audit(log.key.public, log.lines(), heads)
    with pytest.raises(Broken, match="older"):
        audit(log.key.public, log.lines(log.heads[::-1]))
    with pytest.raises(Broken, match="nothing is signed"):
        audit(log.key.public, log.lines([]))
    begun = log.key.sign(Head("main", "t2", SIZE, "00" * 32, 1, SIZE, "")).line()
    with pytest.raises(Broken, match="begun anew"):
        audit(log.key.public, log.lines(), [begun])


def test_a_rotated_key_signs_from_its_head_on_and_the_old_one_no_more() -> None:
    old, new = Key(Ed25519PrivateKey.generate()), Key(Ed25519PrivateKey.generate())
    _, events = grow(old, 3, 1)
    tree, heads = Tree(), []
    for size, (key, line) in enumerate(zip((old, new, old), events, strict=True), 1):
        tree.add(leaf_hash(line[:-1]))
        follows = new.public.hex() if size == 1 else ""
        head = Head("main", "t1", size, tree.root().hex(), size, size, "", follows)
        heads.append(key.sign(head).line())
    both = Exported(old, heads[:2], events[:2], [])
    assert audit(old.public, both.lines()).size == 2
    with pytest.raises(Broken, match="another key"):
        audit(old.public, Exported(old, heads, events, []).lines())


def test_an_inclusion_proof_holds_for_its_event_alone(log: Exported) -> None:
    hashes = [sha256(b"\x00" + line[:-1]).digest() for line in log.events]
    for at in (0, 1, 1023, 1024, 8191, 8192, SIZE - 1):
        path = [step.hex() for step in inclusion_proof(hashes, at)]
        proof = {
            "envelope": log.events[at][:-1].decode(),
            "index": at,
            "path": path,
            "head": asdict(log.newest()),
        }
        assert inclusion(log.key.public, proof)["size"] == SIZE
        for wrong in (
            {"index": at + 1},
            {"index": SIZE},
            {"path": path[:-1]},
            {"path": [*path, path[0]]},
            {"envelope": log.events[at - 1][:-1].decode()},
            {"head": {**asdict(log.newest()), "root": "00" * 32}},
        ):
            with pytest.raises(Broken):
                inclusion(log.key.public, proof | wrong)


def test_signatures_of_rfc_8032() -> None:
    for public, message, signature in (
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            (
                "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
            ),
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            (
                "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
            ),
        ),
    ):
        key, text, sign = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
        assert verify(key, text, sign)
        assert not verify(key, text + b"!", sign)


@given(st.binary(max_size=64), st.integers(0, 64 * 8 - 1), st.binary(min_size=32, max_size=32))
def test_signatures_agree_with_another_implementation(
    message: bytes, bit: int, seed: bytes
) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    assert verify(public, message, signature)
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not verify(public, message, bytes(flipped))
    high = int.from_bytes(signature[32:], "little") + verifier._L  # the same, written another way
    assert not verify(public, message, signature[:32] + high.to_bytes(32, "little"))
