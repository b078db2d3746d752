from hashlib import sha256

import pytest

from steelyard.crypto import merkle
from steelyard.errors import DigestError, InputError

COUNTS = [*range(1, 18), 31, 32, 33, 100]


def leaves(count: int) -> list[bytes]:
    return [sha256(bytes([i])).digest() for i in range(count)]


def defined(items: list[bytes]) -> bytes:
    """Return MTH by the recursive definition of RFC 6962."""
    if len(items) == 1:
        return items[0]
    k = 1
    while k * 2 < len(items):
        k *= 2
    return sha256(b"\x01" + defined(items[:k]) + defined(items[k:])).digest()


@pytest.mark.parametrize("count", COUNTS)
def test_both_roots_are_the_defined_one(count: int) -> None:
    assert merkle.root(leaves(count)) == merkle.complete_root(leaves(count)) == defined(leaves(count))


def test_published_vector_of_certificate_transparency() -> None:
    data = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
    hashes = [sha256(b"\x00" + bytes.fromhex(item)).digest() for item in data]
    assert merkle.root(hashes).hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@pytest.mark.parametrize("count", COUNTS)
def test_every_path_leads_to_the_root(count: int) -> None:
    items = leaves(count)
    for index in range(count):
        path = merkle.path(items, index)
        found = merkle.root_from_path(items[index], index=index, count=count, path=path)
        assert found == merkle.root(items)


@pytest.mark.parametrize("count", COUNTS)
def test_longer_and_shorter_paths_are_refused(count: int) -> None:
    items = leaves(count)
    for index in range(count):
        path = merkle.path(items, index)
        with pytest.raises(DigestError):
            merkle.root_from_path(items[index], index=index, count=count, path=(*path, bytes(32)))
        if path:
            with pytest.raises(DigestError):
                merkle.root_from_path(items[index], index=index, count=count, path=path[:-1])


def test_a_leaf_in_another_place_gives_another_root() -> None:
    items = leaves(13)
    for index in range(13):
        path = merkle.path(items, index)
        for other in range(13):
            if other == index:
                continue
            try:
                found = merkle.root_from_path(items[index], index=other, count=13, path=path)
            except DigestError:
                continue
            assert found != merkle.root(items)


@pytest.mark.parametrize("index", [-1, 4, 5])
def test_index_out_of_range(index: int) -> None:
    with pytest.raises(InputError):
        merkle.path(leaves(4), index)
    with pytest.raises(DigestError):
        merkle.root_from_path(bytes(32), index=index, count=4, path=())


def test_sibling_of_another_length_is_refused() -> None:
    with pytest.raises(DigestError):
        merkle.root_from_path(bytes(32), index=0, count=2, path=(bytes(31),))


def test_no_leaf_has_no_root() -> None:
    with pytest.raises(InputError):
        merkle.root([])
    with pytest.raises(InputError):
        merkle.complete_root([])
