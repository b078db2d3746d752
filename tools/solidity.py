"""Compile the contracts with the settings of foundry.toml, for the other tools.

The request to the compiler is the one that brownie makes: same source names, remapping and optimiser. So what
stands in the package is, to the last byte, what `brownie run deploy` puts on a chain.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / "contracts"
REMAPPING = "@openzeppelin=node_modules/@openzeppelin"


class ToolError(Exception):
    """The sources or the settings are wrong; the message is for a developer."""


def profile() -> dict[str, object]:
    """Return the default profile of foundry.toml."""
    with (ROOT / "foundry.toml").open("rb") as file:
        settings: dict[str, object] = tomllib.load(file)["profile"]["default"]
    return settings


def settings_drift() -> list[str]:
    """Compare the compiler settings of brownie-config.yaml with foundry.toml; returns what differs."""
    brownie = (ROOT / "brownie-config.yaml").read_text(encoding="utf-8")
    forge = profile()
    wanted = {
        "evm_version": str(forge["evm_version"]),
        "version": str(forge["solc"]).rpartition("-v")[2],
        "enabled": str(forge["optimizer"]).lower(),
        "runs": str(forge["optimizer_runs"]),
    }
    drift = []
    for key, value in wanted.items():
        found = re.findall(rf"^\s+{key}:\s*(\S+)\s*$", brownie, re.MULTILINE)
        if found != [value]:
            drift.append(f"brownie-config.yaml: {key} is {found}, foundry.toml says {value}")
    if f'- "{REMAPPING}"' not in brownie:
        drift.append(f"brownie-config.yaml: the remapping {REMAPPING} is missing")
    return drift


def sources() -> dict[str, str]:
    """Read all contracts: source by path from the root, with forward slashes."""
    return {
        f.relative_to(ROOT).as_posix(): f.read_text(encoding="utf-8")
        for f in sorted(CONTRACTS.rglob("*.sol"))
    }


def compile_contracts(outputs: Sequence[str], *, ast: bool = False) -> dict[str, Any]:
    """Compile all contracts.

    Args:
        outputs: What to select for every contract, in the compiler's words.
        ast: Whether to return the syntax trees.

    Returns:
        The compiler's answer: `contracts` by path and name, and `sources` by path.

    Raises:
        ToolError: The compiler is not installed, did not start, or found an error.
    """
    forge = profile()
    selection = {"*": {"*": list(outputs), "": ["ast"] if ast else []}}
    request = {
        "language": "Solidity",
        "sources": {path: {"content": text} for path, text in sources().items()},
        "settings": {
            "outputSelection": selection,
            "evmVersion": forge["evm_version"],
            "remappings": [REMAPPING],
            "optimizer": {"enabled": forge["optimizer"], "runs": forge["optimizer_runs"]},
        },
    }
    solc = ROOT / str(forge["solc"])
    if not solc.is_file():
        raise ToolError(f"{solc} is missing: run `make setup`")
    command = [str(solc), "--standard-json", "--allow-paths", f"{ROOT}"]
    done = subprocess.run(
        command, cwd=ROOT, input=json.dumps(request), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ToolError(f"{solc} failed: {done.stderr.strip()}")
    answer: dict[str, Any] = json.loads(done.stdout)
    errors = [error for error in answer.get("errors", []) if error["severity"] == "error"]
    if errors:
        raise ToolError("\n".join(error["formattedMessage"] for error in errors))
    return answer
