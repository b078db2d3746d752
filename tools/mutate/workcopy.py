"""A private copy of the tree, in which one worker tries one mutant after the other.

No source is ever changed, neither in the checkout nor in the copy. The mutant is compiled apart, and its code put into the
artifacts that forge and brownie read: with `dynamic_test_linking`, forge's tests deploy contracts from there instead of having
them compiled in. So a mutant costs one compilation of the contracts that contain it and none of the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Self

COPIED = (
    "contracts",
    "tests",
    "scripts",
    "tools",
    "backend",
    "foundry.toml",
    "brownie-config.yaml",
    "pyproject.toml",
    "build/bin",
    "build/brownie/contracts",
)
LINKED = (".venv-brownie", "node_modules")
# The one compilation that forge asks for at every start, to find what tests deploy, always has the same answer.
MEMORY = """#!/bin/sh
# Written by tools/mutate: the compiler, with a memory.
memory={memory}
question=$memory/$$.in
if [ "$1" = --version ]; then : > "$question"; else cat > "$question"; fi
key=$1-$(sha256sum < "$question" | cut -c1-64)
if [ ! -f "$memory/$key" ]; then
  {solc} "$@" < "$question" > "$memory/$$.out" || exit 1
  mv "$memory/$$.out" "$memory/$key"
fi
rm -f "$question"
exec cat "$memory/$key"
"""


class Copy:
    """A copy, and what its artifacts were before the first mutant."""

    def __init__(self, root: Path, /) -> None:
        """Take a folder that is a copy; see ``make`` and ``clone``."""
        self.root = root
        self._pristine: dict[Path, bytes] = {}

    @classmethod
    def make(cls, checkout: Path, root: Path, /) -> Self:
        """Copy what tests need of a checkout; what an earlier run left there is removed."""
        shutil.rmtree(root, ignore_errors=True)
        skip = shutil.ignore_patterns("__pycache__", ".pytest_cache", ".hypothesis")
        for name in COPIED:
            source, goal = checkout / name, root / name
            goal.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, goal, symlinks=True, ignore=skip)
            elif source.exists():
                shutil.copyfile(source, goal)
        for name in LINKED:
            (root / name).symlink_to(checkout / name)
        memory = root.parent / "memory"
        memory.mkdir(parents=True, exist_ok=True)
        (solc,) = (checkout / "build" / "solc").glob("solc-v*")
        ours = root / "build" / "solc" / solc.name
        ours.parent.mkdir(parents=True)
        ours.write_text(MEMORY.format(memory=memory, solc=solc), encoding="utf-8")
        ours.chmod(ours.stat().st_mode | stat.S_IXUSR)
        return cls(root)

    def clone(self, root: Path, /) -> Copy:
        """Copy this copy with all that was built in it."""
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.root, root, symlinks=True)
        return Copy(root)

    def install_forge(self, paths: Mapping[str, str], code: Mapping[str, tuple[str, str]]) -> None:
        """Put code into forge's artifacts.

        Args:
            paths: Contract's name by file.
            code: Creation and run-time code in hexadecimal, by name.
        """
        for path, name in paths.items():
            file = self.root / "build" / "forge" / "out" / Path(path).name / f"{name}.json"
            artifact = json.loads(self._original(file))
            creation, runtime = code[name]
            artifact["bytecode"]["object"] = f"0x{creation}"
            artifact["deployedBytecode"]["object"] = f"0x{runtime}"
            _write(file, json.dumps(artifact).encode())

    def install_brownie(self, code: Mapping[str, tuple[str, str]]) -> None:
        """Put code into brownie's artifacts."""
        for name, (creation, runtime) in code.items():
            file = self.root / "build" / "brownie" / "contracts" / f"{name}.json"
            artifact = json.loads(self._original(file))
            artifact["bytecode"], artifact["deployedBytecode"] = creation, runtime
            _write(file, json.dumps(artifact).encode())

    def restore(self) -> None:
        """Take all mutants out, and what forge remembers of its failures."""
        for file, content in self._pristine.items():
            _write(file, content)
        self._pristine.clear()
        forge = self.root / "build" / "forge"
        shutil.rmtree(forge / "failures", ignore_errors=True)
        (forge / "test-failures").unlink(missing_ok=True)

    def _original(self, file: Path) -> bytes:
        if file not in self._pristine:
            self._pristine[file] = file.read_bytes()
        return self._pristine[file]


def _write(file: Path, content: bytes) -> None:
    temporary = file.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(content)
    temporary.replace(file)
