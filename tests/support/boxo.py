"""Boxo as a peer: the program in tests/peers/boxo, built by `make peers`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

BINARY = Path(__file__).parents[2] / "build" / "bin" / "boxo"


@dataclass(frozen=True)
class Served:
    """A running boxo: where it serves, and the roots of what it was given."""

    url: str
    roots: dict[str, str]


Boxo = Callable[..., Served]


@contextmanager
def starter() -> Iterator[Boxo]:
    """Yield what starts boxo with arguments; all that were started end together. Skips where there is none."""
    if not BINARY.exists():
        pytest.skip("boxo was not tested: `make peers` builds it where there is Go")
    with ExitStack() as stack:
        yield lambda *arguments: stack.enter_context(_serving(*map(str, arguments)))


@contextmanager
def _serving(*arguments: str) -> Iterator[Served]:
    process = subprocess.Popen([str(BINARY), *arguments], stdout=subprocess.PIPE, text=True)
    try:
        roots: dict[str, str] = {}
        assert process.stdout is not None
        for line in process.stdout:
            kind, rest = line.rstrip("\n").split(" ", 1)
            if kind == "url":
                yield Served(rest, roots)
                return
            path, _, root = rest.rpartition(" ")
            roots[path] = root
        raise AssertionError(f"boxo {arguments} ended by itself")
    finally:
        process.kill()
        process.communicate()
