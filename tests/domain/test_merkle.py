"""The Merkle tree against the RFC's own recursive words, known vectors, and its laws."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.merkle import (
    EMPTY,
    Tree,
    consistency_proof,
    consistent,
    inclusion_proof,
    leaf_hash,
    root_by_inclusion,
    root_of,
)

ENTRIES = [
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]  # fmt: skip
"""The test entries of Certificate Transparency's own implementations, and their roots."""
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

leaves = st.lists(st.binary(max_size=8).map(leaf_hash), min_size=1, max_size=70)


def mth(entries: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.1, word for word."""
    n = len(entries)
    if n == 0:
        return sha256().digest()
    if n == 1:
        return sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < n:
        k *= 2
    return sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def path(m: int, entries: list[bytes]) -> list[bytes]:
    """RFC 9162 section 2.1.3.1, word for word."""
    n = len(entries)
    if n == 1:
        return []
    k = 1
    while k * 2 < n:
        k *= 2
    if m < k:
        return [*path(m, entries[:k]), mth(entries[k:])]
    return [*path(m - k, entries[k:]), mth(entries[:k])]


def subproof(m: int, entries: list[bytes], whole: bool) -> list[bytes]:
    """RFC 9162 section 2.1.4.1, word for word."""
    n = len(entries)
    if m == n:
        return [] if whole else [mth(entries)]
    k = 1
    while k * 2 < n:
        k *= 2
    if m <= k:
        return [*subproof(m, entries[:k], whole), mth(entries[k:])]
    return [*subproof(m - k, entries[k:], False), mth(entries[:k])]


def test_known_vectors() -> None:
    tree = Tree()
    assert tree.root() == EMPTY
    assert EMPTY.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for entry, root in zip(ENTRIES, ROOTS, strict=True):
        tree.add(leaf_hash(bytes.fromhex(entry)))
        assert tree.root().hex() == root


@given(st.lists(st.binary(max_size=8), max_size=40), st.data())
def test_everything_is_as_the_rfc_defines_it(entries: list[bytes], data: st.DataObject) -> None:
    hashes = [leaf_hash(entry) for entry in entries]
    assert root_of(hashes) == mth(entries)
    if entries:
        index = data.draw(st.integers(0, len(entries) - 1))
        assert inclusion_proof(hashes, index) == path(index, entries)
        first = data.draw(st.integers(1, len(entries)))
        assert consistency_proof(hashes, first) == subproof(first, entries, True)


@given(leaves, st.data())
def test_proofs_hold_and_no_other_does(hashes: list[bytes], data: st.DataObject) -> None:
    size, root = len(hashes), root_of(hashes)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(hashes, index)
    assert root_by_inclusion(hashes[index], index, size, proof) == root
    assert root_by_inclusion(leaf_hash(b"another one"), index, size, proof) != root
    assert root_by_inclusion(hashes[index], index, size, [*proof, root]) != root
    first = data.draw(st.integers(1, size))
    between, older = consistency_proof(hashes, first), root_of(hashes[:first])
    assert consistent(first, older, size, root, between)
    assert not consistent(first, leaf_hash(b"another one"), size, root, between)
    assert not consistent(first, older, size, leaf_hash(b"another one"), between)
    if between:
        assert not consistent(first, older, size, root, between[1:])
    assert not consistent(first, older, size, root, [*between, root])


@given(leaves, st.data())
def test_a_tree_goes_on_from_its_frontier(hashes: list[bytes], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(hashes)))
    first = Tree()
    for each in hashes[:cut]:
        first.add(each)
    then = Tree(first.size, first.peaks)
    for each in hashes[cut:]:
        then.add(each)
    assert then.root() == root_of(hashes)
    assert first.root() == root_of(hashes[:cut])


@given(st.lists(st.binary(max_size=8).map(leaf_hash), min_size=1, max_size=70))
def test_equal_complete_subtrees_stand_for_their_leaves(hashes: list[bytes]) -> None:
    whole = len(hashes) // 8 * 8
    tree = Tree()
    for at in range(0, whole, 8):
        tree.add(root_of(hashes[at : at + 8]))
    assert tree.root() == root_of(hashes[:whole])


@pytest.mark.parametrize(("size", "peaks"), [(-1, []), (3, [EMPTY]), (0, [EMPTY])])
def test_a_frontier_that_fits_no_tree_is_refused(size: int, peaks: list[bytes]) -> None:
    with pytest.raises(ValueError, match="complete subtrees"):
        Tree(size, peaks)


@pytest.mark.parametrize("index", [-1, 2])
def test_what_is_not_in_the_tree_has_no_proof(index: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        inclusion_proof([EMPTY, EMPTY], index)
    assert root_by_inclusion(EMPTY, index, 2, []) is None
    with pytest.raises(ValueError, match="no first"):
        consistency_proof([EMPTY], index)
    assert not consistent(index, EMPTY, 1, EMPTY, [])
