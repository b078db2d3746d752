"""SIGKILL at every point at which something reaches the disk, and at every byte of a block.

Each case is a fork that adds, pins, unpins and collects on one folder, and dies at its n-th call of a function
that changes the folder. What is left must be sound, and must be usable.
"""

from __future__ import annotations

import hashlib
import io
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steelyard.errors import NotFoundError
from steelyard.storage.cid import CID
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.upkeep import check, collect

POINTS = ("open", "write", "fsync", "replace", "unlink", "utime")
FIRST = {"a": b"abc", "b": b"same"}
SECOND = {"a": b"de" * 4000, "b": b"same"}


def _roots(path: Path) -> tuple[CID, CID]:
    scratch = EmbeddedStore(path)
    first, second = (
        scratch.add_directory({name: io.BytesIO(data) for name, data in files.items()})
        for files in (FIRST, SECOND)
    )
    return first, second


def _work(path: Path) -> None:
    """Replace one pinned folder by another, and collect."""
    store = EmbeddedStore(path)
    for pin in list(store.pins()):
        with store.adding():
            root = store.add_directory({name: io.BytesIO(data) for name, data in SECOND.items()})
            store.pin(root)
        if pin != root:
            store.unpin(pin)
    collect(store, grace=0)


def _die(number: int, names: tuple[str, ...], cut: int | None) -> None:
    """Make the n-th call of these functions of `os` the last; of a write, write only so many bytes before."""
    left = number

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                if name == "write" and cut is not None:
                    real(args[0], bytes(args[1])[:cut])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        return call

    for name in names:
        setattr(os, name, wrap(name, getattr(os, name)))


def _killed(path: Path, number: int, *, names: tuple[str, ...] = POINTS, cut: int | None = None) -> bool:
    """Run the work in a fork that dies at its n-th point; return whether it got that far."""
    pid = os.fork()
    if pid == 0:
        try:
            _die(number, names, cut)
            _work(path)
            os._exit(0)
        except BaseException:  # noqa: BLE001  # a fork must never run on into the test runner
            os._exit(3)
    status = os.waitpid(pid, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def _check(path: Path, first: CID, second: CID) -> None:
    """What must hold after a kill, wherever it struck; then the work is done again, to its end."""
    for file in (path / "blocks").glob("*/*"):
        assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name, "half a block is believed"
    store = EmbeddedStore(path)
    pins = set(store.pins())
    assert pins in ({first}, {first, second}, {second})
    found = check(store)
    assert not found.damaged and not found.broken
    _work(path)
    assert set(store.pins()) == {second}
    assert store.read_file(store.resolve(second, "a"), max_size=10_000) == SECOND["a"]
    assert store.usage()[0] == 3
    try:
        store.get_block(first)
    except NotFoundError:
        return
    raise AssertionError("garbage was left")


def _prepared(path: Path, files: dict[str, bytes]) -> Path:
    """Make the folder hold these files and no others."""
    for file in path.rglob("*"):
        if file.is_file():
            file.unlink()
    for name, data in files.items():
        (path / name).write_bytes(data)
    return path


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")  # the fork starts no threads
def test_kill_at_every_commit_point_and_at_random_bytes(tmp_path: Path) -> None:
    first, second = _roots(tmp_path / "scratch")
    path = tmp_path / "store"
    with EmbeddedStore(path) as store:
        store.pin(store.add_directory({name: io.BytesIO(data) for name, data in FIRST.items()}))
    start = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
    number = 0
    while _killed(_prepared(path, start), number):
        _check(path, first, second)
        number += 1
    assert number > 25, "the points are not met any more"
    chance = random.Random(6)
    for _ in range(12):
        assert _killed(
            _prepared(path, start), chance.randrange(2), names=("write",), cut=chance.randrange(8100)
        )
        _check(path, first, second)
