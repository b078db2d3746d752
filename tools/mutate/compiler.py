"""The compiler as a process that stays, asked in its own JSON."""

from __future__ import annotations

import json
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .syntax import Node

REMAPPING = "@openzeppelin/=node_modules/@openzeppelin/"


class CompilerLost(Exception):
    """The compiler's process ended or answered what nobody can read; the message is for a developer."""


class DoesNotCompile(Exception):
    """The source is not Solidity that the compiler takes; the message is its first error."""


class Compiler:
    """Compiles files of one folder, some of them replaced by other text. Not for two threads at once."""

    def __init__(self, root: Path, /, *, node: str, modules: Path) -> None:
        """Start it.

        Args:
            root: Where sources, ``foundry.toml`` and ``node_modules`` are.
            node: The command of Node.
            modules: The folder ``node_modules`` that the compiler itself is in.
        """
        self._root = root
        with (root / "foundry.toml").open("rb") as file:
            profile = tomllib.load(file)["profile"]["default"]
        # Without metadata, two programs are equal when their code is.
        self._settings = {
            "evmVersion": profile["evm_version"],
            "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
            "viaIR": profile["via_ir"],
            "remappings": [REMAPPING],
            "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
        }
        self._process = subprocess.Popen(
            [node, str(Path(__file__).with_name("compile.js")), str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"NODE_PATH": str(modules)},
        )

    def __enter__(self) -> Self:
        """Return the compiler."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def trees(self, files: Sequence[str]) -> dict[str, Node]:
        """Return the syntax trees of some files and of all that they import, by path."""
        answer = self._ask(self._sources(files, {}), {"*": {"": ["ast"]}})
        return {path: Node(source["ast"]) for path, source in answer["sources"].items()}

    def bytecode(
        self, contracts: Mapping[str, str], /, *, changed: Mapping[str, str]
    ) -> dict[str, tuple[str, str]]:
        """Compile contracts.

        Args:
            contracts: Name of the contract wanted, by file.
            changed: Text by file, for what is not to be read from the folder.

        Returns:
            Creation and run-time code in hexadecimal without prefix, by name of the contract.

        Raises:
            DoesNotCompile: The sources have an error.
            CompilerLost: The process ended.
        """
        wanted = ["evm.bytecode.object", "evm.deployedBytecode.object"]
        selection = {path: {name: wanted} for path, name in contracts.items()}
        answer = self._ask(self._sources(list(contracts), changed), selection)
        found = {}
        for path, name in contracts.items():
            evm = answer["contracts"][path][name]["evm"]
            found[name] = (str(evm["bytecode"]["object"]), str(evm["deployedBytecode"]["object"]))
        return found

    def _sources(self, files: Sequence[str], changed: Mapping[str, str]) -> dict[str, dict[str, str]]:
        texts = {path: (self._root / path).read_text(encoding="utf-8") for path in files}
        return {path: {"content": text} for path, text in {**texts, **changed}.items()}

    def _ask(self, sources: Mapping[str, object], selection: Mapping[str, object]) -> dict[str, Any]:
        settings = {**self._settings, "outputSelection": selection}
        request = {"language": "Solidity", "sources": sources, "settings": settings}
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        except (OSError, ValueError) as exc:
            raise CompilerLost(f"the compiler gave no answer, exit code {self._process.poll()}") from exc
        for error in answer.get("errors", ()):
            if error["severity"] == "error":
                raise DoesNotCompile(str(error["formattedMessage"]).strip())
        return answer


def importers(trees: Mapping[str, Node], file: str) -> set[str]:
    """Return the files that contain a file, directly or not, itself included."""
    reached = {file}
    while True:
        more = {
            path
            for path, tree in trees.items()
            for node in tree.children("nodes")
            if node.kind == "ImportDirective" and node.word("absolutePath") in reached
        }
        if more <= reached:
            return reached
        reached |= more
