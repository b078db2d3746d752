"""Write ``bundle.json``: a bundle taken from anvil with the project's Directory and Treasury, and what an auditor brings.

    python -m tests.unit.audit.generate          in the root, after `make setup`, with the test environment

It is frozen: run this only when the format or the contracts' way of recording changes.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import rlp
from trie.hexary import HexaryTrie

from steelyard.audit.build import load
from steelyard.audit.collect import collect, fetch_header
from steelyard.domain.types import (
    NATIVE,
    POSITION,
    VERSION,
    Address,
    AssetId,
    Position,
    account_word,
    asset_id,
    node_id,
)
from tests.unit.audit.anvil import ROOT, Anvil, running
from tests.unit.audit.test_mpt import nodes_of

TARGET = Path(__file__).with_name("bundle.json")
SOURCES = Path(__file__).with_name("contracts")
SOLC = ROOT / "build" / "solc" / "solc-v0.8.37"
NAME = b"digits".ljust(32, b"\0")
MAKE = ("Directory", "Treasury", "Notebook", "Checker")


def compile_all() -> dict[str, Any]:
    """Return the contracts as the package ships them, by name."""
    files = [*(ROOT / "contracts").rglob("*.sol"), *SOURCES.glob("*.sol")]
    outputs = ["abi", "evm.bytecode.object", "evm.deployedBytecode", "storageLayout"]
    request = {
        "language": "Solidity",
        "sources": {
            file.relative_to(ROOT).as_posix(): {"content": file.read_text(encoding="utf-8")} for file in files
        },
        "settings": {
            "outputSelection": {"*": {"*": outputs, "": ["ast"]}},
            "remappings": ["@openzeppelin=node_modules/@openzeppelin"],
            "optimizer": {"enabled": True, "runs": 1},
            "metadata": {"appendCBOR": False, "bytecodeHash": "none"},
            "evmVersion": "cancun",
        },
    }
    command = [str(SOLC), "--standard-json"]
    done = subprocess.run(
        command, cwd=ROOT, input=json.dumps(request), capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    errors = [error["formattedMessage"] for error in answer.get("errors", []) if error["severity"] == "error"]
    assert not errors, errors
    found = {
        name: made for file in answer["contracts"].values() for name, made in file.items() if name in MAKE
    }
    ids = {
        str(node["id"]): node["name"]
        for node in _immutables([item["ast"] for item in answer["sources"].values()])
    }
    return {name: _record(name, made, ids) for name, made in found.items()}


def _immutables(tree: Any) -> list[Any]:
    found, stack = [], [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if node.get("mutability") == "immutable":
                found.append(node)
            stack.extend(node.values())
        elif isinstance(node, list):
            stack.extend(node)
    return found


def _record(name: str, made: Any, ids: dict[str, str]) -> dict[str, Any]:
    references = made["evm"]["deployedBytecode"].get("immutableReferences", {})
    names = {ids[number] for number in references}
    abi = [item for item in made["abi"] if item["type"] == "event" or item.get("name") in names]
    return {
        "contractName": name,
        "abi": abi,
        "bytecode": "0x" + made["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + made["evm"]["deployedBytecode"]["object"],
        "immutableReferences": {ids[number]: places for number, places in references.items()},
        "storageLayout": [
            {key: slot[key] for key in ("label", "slot", "offset")}
            for slot in made["storageLayout"]["storage"]
        ],
    }


def play(node: Anvil, records: dict[str, Any]) -> tuple[bytes, bytes]:
    """Deploy, and let an asset have a history; returns the Directory and the asset."""
    me = bytes.fromhex(node.account[2:])
    treasury = node.deploy(records["Treasury"])
    checker = node.deploy(records["Checker"])
    notebook = node.deploy(
        records["Notebook"], ("address", "address", "uint128"), (treasury, checker, 10**16)
    )
    directory = node.deploy(records["Directory"], ("address[]", "address"), ((notebook,), me))
    node.use(directory, "list", ["address"], [treasury])
    asset = asset_id(chain_id=31337, registry=Address(notebook), creator=Address(me), name=NAME)

    leaf = (Position(payee=account_word(Address(me)), weight=10_000),)
    inner = node_id(bytes(32), leaf)
    positions = (
        Position(payee=inner, weight=2_500),
        Position(payee=account_word(Address(b"\xbb" * 20)), weight=7_500),
    )
    outer = node_id(b"\x01" * 32, positions)

    version = (asset, b"\x11" * 32, b"\x22" * 32, 123_456, 1, (5, 6), outer)
    node.use(notebook, "register", ["bytes32", VERSION], [NAME, version])
    node.use(treasury, "deposit", ["bytes32", "address", "uint128"], [outer, NATIVE, 10**18], value=10**18)
    # Two transactions in one block: the order of entries within it needs receipt proofs.
    node.call("evm_setAutomine", [False])
    shown = tuple((position.payee, position.weight) for position in positions)
    claim = ["bytes32", f"{POSITION}[]", "uint256", "address"]
    node.use(treasury, "claim", claim, [b"\x01" * 32, shown, 0, NATIVE], wait=False)
    node.use(notebook, "setRole", ["bytes32", "address", "bool"], [asset, b"\xcc" * 20, True], wait=False)
    node.use(treasury, "claim", claim, [b"\x01" * 32, shown, 1, NATIVE], wait=False)
    node.call("evm_mine", [])
    node.call("evm_setAutomine", [True])
    # Entries of other subjects, which no bundle of this asset shows.
    node.use(notebook, "register", ["bytes32", VERSION], [b"other".ljust(32, b"\0"), version])
    return directory, asset


def receipt_proof(node: Anvil, entry: dict[str, Any], index: int) -> tuple[dict[str, Any], str]:
    """Return the receipt proof of an entry, and the hash of its block."""
    block = node.call("eth_getBlockByNumber", [hex(entry["block"]), False])
    receipts, transactions = HexaryTrie({}), HexaryTrie({})
    place: tuple[int, int] | None = None
    for number, tx in enumerate(block["transactions"]):
        receipt = node.call("eth_getTransactionReceipt", [tx])
        logs = [
            [_raw(log["address"]), [_raw(t) for t in log["topics"]], _raw(log["data"])]
            for log in receipt["logs"]
        ]
        kind = int(receipt["type"], 16)
        body = rlp.encode(
            [_int(receipt["status"]), _int(receipt["cumulativeGasUsed"]), _raw(receipt["logsBloom"]), logs]
        )
        key = rlp.encode(rlp.sedes.big_endian_int.serialize(number))
        receipts[key] = (bytes([kind]) if kind else b"") + body
        transactions[key] = _raw(node.call("eth_getRawTransactionByHash", [tx]))
        for position, log in enumerate(receipt["logs"]):
            if int(log["logIndex"], 16) == entry["log"]:
                place = (number, position)
    assert receipts.root_hash == _raw(block["receiptsRoot"]) and place is not None
    assert transactions.root_hash == _raw(block["transactionsRoot"])
    key = rlp.encode(rlp.sedes.big_endian_int.serialize(place[0]))
    proof = {
        "entry": index,
        "header": "0x" + fetch_header(node, block["hash"])[1].hex(),
        "index": place[0],
        "position": place[1],
        "receipt": _nodes(receipts, key),
        "transaction": _nodes(transactions, key),
    }
    return proof, block["hash"]


def _nodes(trie: HexaryTrie, key: bytes) -> list[str]:
    return ["0x" + node.hex() for node in nodes_of(trie, key)]


def _raw(value: str) -> bytes:
    return bytes.fromhex(value[2:])


def _int(value: str) -> bytes:
    data: bytes = rlp.sedes.big_endian_int.serialize(int(value, 16))
    return data


def main() -> None:
    """Compile, play, collect, write."""
    records = compile_all()
    builds = {name: load(record) for name, record in records.items()}
    with running("--timestamp", "1700000000") as node:
        directory, asset = play(node, records)
        data, verified = collect(
            node,
            directory=Address(directory),
            asset=AssetId(asset),
            builds=builds,
        )
        bundle = json.loads(data)
        wanted = [
            index
            for index, entry in enumerate(verified.entries)
            if entry.contract == verified.contracts[0].address
        ]
        proofs = [receipt_proof(node, bundle["entries"][index], index) for index in wanted]
        bundle["receipts"] = [proof for proof, _ in proofs]
        fixture = {
            "anchors": {
                "chainId": 31337,
                "directory": "0x" + directory.hex(),
                "blockHash": "0x" + verified.block.hash.hex(),
                "blocks": sorted({block for _, block in proofs}),
            },
            "builds": [
                {key: record[key] for key in record if key != "bytecode"} for record in records.values()
            ],
            "bundle": bundle,
        }
    TARGET.write_text(json.dumps(fixture, sort_keys=True, separators=(",", ":")) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
