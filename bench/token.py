"""A plain ERC-20 of OpenZeppelin, compiled like the contracts."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

_SOURCE = """// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
contract Plain is ERC20 {
    constructor() ERC20("Plain", "PLAIN") { _mint(msg.sender, 10 ** 30); }
}
"""


class NoCompilerError(Exception):
    """The compiler of ``make setup`` is not there."""


def creation_code(root: Path) -> bytes:
    """Return the creation code of a token that gives 10^30 units to its creator.

    Args:
        root: the checkout, with ``foundry.toml``, its compiler and ``node_modules``.

    Raises:
        NoCompilerError: there is no compiler, or it does not compile the token.
    """
    with (root / "foundry.toml").open("rb") as file:
        profile = tomllib.load(file)["profile"]["default"]
    solc = root / str(profile["solc"])
    if not solc.is_file():
        raise NoCompilerError("the compiler is missing: run `make setup`")
    request = {
        "language": "Solidity",
        "sources": {"Plain.sol": {"content": _SOURCE}},
        "settings": {
            "evmVersion": profile["evm_version"],
            "optimizer": {"enabled": profile["optimizer"], "runs": profile["optimizer_runs"]},
            "outputSelection": {"*": {"*": ["evm.bytecode.object"]}},
            "remappings": ["@openzeppelin=node_modules/@openzeppelin"],
        },
    }
    done = subprocess.run(
        [str(solc), "--standard-json", "--allow-paths", str(root)],
        cwd=root,
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        code: str = json.loads(done.stdout)["contracts"]["Plain.sol"]["Plain"]["evm"]["bytecode"]["object"]
    except (ValueError, KeyError) as exc:
        raise NoCompilerError(f"the token does not compile: {(done.stderr or done.stdout)[:300]}") from exc
    return bytes.fromhex(code)
