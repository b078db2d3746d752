"""Write the ABIs and the bytecode that the Python package carries, so that its user needs no compiler.

    python tools/abi.py            write backend/steelyard/chain/abi/<Contract>.json
    python tools/abi.py --check    fail if a file is not what the sources compile to

Which contracts: `[tool.steelyard] abi` in pyproject.toml, as `path:Name`; an interface has an ABI and no
bytecode.
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

from solidity import ROOT, ToolError, compile_contracts, settings_drift

TARGET = ROOT / "backend" / "steelyard" / "chain" / "abi"
# What the EVM accepts as deployed code (EIP-170) and as initialisation code (EIP-3860), bytes.
CODE_LIMIT, INIT_LIMIT = 24_576, 49_152


def wanted() -> dict[str, str]:
    """Return the contracts to export: path by name.

    Raises:
        ToolError: An entry is malformed or a name stands twice.
    """
    with (ROOT / "pyproject.toml").open("rb") as file:
        entries = tomllib.load(file)["tool"]["steelyard"]["abi"]
    result: dict[str, str] = {}
    for entry in entries:
        path, colon, name = entry.partition(":")
        if not colon or name in result:
            raise ToolError(
                f"pyproject.toml: tool.steelyard.abi: {entry!r} is not path:Name, or the name stands twice"
            )
        result[name] = path
    return result


def immutable_names(tree: Any) -> dict[str, str]:
    """Return the names of the immutables declared in a syntax tree, by the number the compiler gave them."""
    names: dict[str, str] = {}
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if node.get("nodeType") == "VariableDeclaration" and node.get("mutability") == "immutable":
                names[str(node["id"])] = node["name"]
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return names


def export(name: str, path: str, contract: Any, names: dict[str, str]) -> str:
    """Return the text of one file.

    Args:
        name: Of the contract.
        path: Of its source.
        contract: The compiler's answer for it.
        names: Names of all immutables, by number.

    Raises:
        ToolError: It needs linking, or is larger than a chain accepts.
    """
    creation, deployed = contract["evm"]["bytecode"], contract["evm"]["deployedBytecode"]
    if creation["linkReferences"] or deployed["linkReferences"]:
        raise ToolError(
            f"{name} calls a library at an address of its own; make the library's functions internal"
        )
    size, init = len(deployed["object"]) // 2, len(creation["object"]) // 2
    if size > CODE_LIMIT or init > INIT_LIMIT:
        raise ToolError(
            f"{name} is {size} bytes, {init} to deploy; the limits are {CODE_LIMIT} and {INIT_LIMIT}"
        )
    places = deployed.get("immutableReferences", {})
    references = {names[number]: places[number] for number in places}
    if len(references) != len(places):
        raise ToolError(
            f"{name} has two immutables of one name, so its code cannot be described by their names"
        )
    record: dict[str, object] = {"contractName": name, "sourcePath": path, "abi": contract["abi"]}
    if size:
        record["bytecode"] = "0x" + creation["object"]
        record["deployedBytecode"] = "0x" + deployed["object"]
        record["immutableReferences"] = references
        record["storageLayout"] = [
            {key: slot[key] for key in ("label", "slot", "offset")}
            for slot in contract["storageLayout"]["storage"]
        ]
    return json.dumps(record, sort_keys=True, separators=(",", ":")) + "\n"


def build() -> dict[Path, str]:
    """Compile, and return the text of every file of the target folder.

    Raises:
        ToolError: The sources do not compile, or a wanted contract does not exist.
    """
    outputs = ["abi", "evm.bytecode.object", "evm.bytecode.linkReferences", "storageLayout"]
    outputs += [
        f"evm.deployedBytecode.{part}" for part in ("object", "linkReferences", "immutableReferences")
    ]
    answer = compile_contracts(outputs, ast=True)
    names = immutable_names([source["ast"] for source in answer["sources"].values()])
    files = {}
    for name, path in wanted().items():
        contract = answer["contracts"].get(path, {}).get(name)
        if contract is None:
            raise ToolError(f"there is no contract {name} in {path}")
        files[TARGET / f"{name}.json"] = export(name, path, contract, names)
    return files


def main(arguments: list[str]) -> int:
    """Write the files, or compare them."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        files = build()
    except ToolError as error:
        print(f"abi: {error}", file=sys.stderr)
        return 1
    stale = sorted(set(TARGET.glob("*.json")) - set(files))
    changed = [f for f, text in files.items() if not f.is_file() or f.read_text(encoding="utf-8") != text]
    if arguments:
        problems = settings_drift()
        problems += [
            f"{f.relative_to(ROOT)} is not what the sources compile to: run `make abi`" for f in changed
        ]
        problems += [f"{f.relative_to(ROOT)} belongs to no contract of [tool.steelyard] abi" for f in stale]
        print(
            "\n".join(f"abi: {p}" for p in problems) or f"abi: {len(files)} files agree with the sources",
            file=sys.stderr,
        )
        return 1 if problems else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for file in stale:
        file.unlink()
    for file in changed:
        file.write_text(files[file], encoding="utf-8")
    print(f"abi: {len(files)} files, {len(changed)} changed, {len(stale)} removed", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
