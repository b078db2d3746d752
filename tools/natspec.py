"""Check that the interfaces are a manual: all that a reader may call or see is described.

Looks at contracts/interfaces and contracts/types: interfaces, functions, events and errors need @notice,
@param for each parameter and @return for each result; structs and enums need @notice.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

from solidity import ToolError, compile_contracts, sources

FOLDERS = ("contracts/interfaces/", "contracts/types/")
WITH_PARAMETERS = {"FunctionDefinition": "function", "EventDefinition": "event", "ErrorDefinition": "error"}
WITHOUT = {"ContractDefinition": "interface", "StructDefinition": "struct", "EnumDefinition": "enum"}


def text_before(source: bytes, node: Any) -> str:
    """Return the documentation that stands directly before a definition, without comment marks.

    The compiler attaches it to most definitions; for the others it is read from the source.
    """
    documentation = node.get("documentation")
    if isinstance(documentation, dict):
        return str(documentation["text"])
    if isinstance(documentation, str):
        return documentation
    before = source[: int(node["src"].split(":")[0])].decode().rstrip(" ")
    lines: list[str] = []
    for line in reversed(before.rstrip().splitlines()):
        stripped = line.strip()
        if not stripped.startswith("///"):
            break
        lines.append(stripped[3:])
    return "\n".join(reversed(lines))


def missing(text: str, node: Any) -> Iterator[str]:
    """Yield what the documentation of one definition lacks."""
    if "@inheritdoc" in text:
        return
    # Text before the first tag counts as the notice, as it does for the compiler.
    if "@notice" not in text and not re.match(r"\s*[^@\s]", text):
        yield "@notice"
    if node["nodeType"] not in WITH_PARAMETERS:
        return
    described = set(re.findall(r"@param\s+(\w+)\s+\S", text))
    for parameter in node["parameters"]["parameters"]:
        if parameter["name"] not in described:
            yield f"@param {parameter['name'] or '(give it a name)'}"
    results = node.get("returnParameters", {}).get("parameters", [])
    returns = len(re.findall(r"@return\b", text))
    if returns < len(results):
        yield f"@return ({returns} of {len(results)})"


def definitions(node: Any) -> Iterator[Any]:
    """Yield the definitions of a file and of the interfaces in it."""
    for child in node.get("nodes", []):
        kind = child["nodeType"]
        if kind in WITH_PARAMETERS or kind in WITHOUT:
            yield child
        if kind == "ContractDefinition":
            yield from definitions(child)


def main() -> int:
    """Print every gap; returns the exit code."""
    try:
        trees = compile_contracts([], ast=True)["sources"]
    except ToolError as error:
        print(f"natspec: {error}", file=sys.stderr)
        return 1
    problems, seen = [], 0
    for path, text in sources().items():
        if not path.startswith(FOLDERS):
            continue
        for node in definitions(trees[path]["ast"]):
            seen += 1
            kind = {**WITH_PARAMETERS, **WITHOUT}[node["nodeType"]]
            line = text.encode()[: int(node["src"].split(":")[0])].count(b"\n") + 1
            gaps = ", ".join(missing(text_before(text.encode(), node), node))
            if gaps:
                problems.append(f"{path}:{line}: {kind} {node['name']} lacks {gaps}")
    print("\n".join(problems) or f"natspec: {seen} definitions documented", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
