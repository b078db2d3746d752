"""A chain in memory for the audit's tests: contracts that record, blocks, tries, and the JSON-RPC methods of a node.

The tries and the RLP are those of the ``trie`` and ``rlp`` packages, not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import rlp
from trie.hexary import HexaryTrie

from steelyard.audit.build import Build, load
from steelyard.audit.entry import Entry
from steelyard.domain.abi import Value, encode, topic
from steelyard.domain.hash import keccak256
from steelyard.domain.types import VERSION, Address, AssetId, account_word, asset_id

CHAIN_ID = 31337
DIRECTORY, ASSETS, TREASURY, MARKET, CHECKER = (Address(bytes([n]) * 20) for n in range(1, 6))
ALICE, BOB = Address(b"\xaa" * 20), Address(b"\xbb" * 20)
NAME = b"digits".ljust(32, b"\0")
ASSET = asset_id(chain_id=CHAIN_ID, registry=ASSETS, creator=ALICE, name=NAME)
NODE, CHILD, STRANGER_NODE = (
    b"\x80" + bytes(30) + b"\x01",
    b"\x80" + bytes(30) + b"\x02",
    b"\x80" + bytes(30) + b"\x03",
)
EMPTY = keccak256(b"\x80")
START = 1_700_000_000

_VERSION_PARTS = [
    *(
        ("asset", "bytes32"),
        ("folder", "bytes32"),
        ("contentRoot", "bytes32"),
        ("size", "uint64"),
        ("scheme", "uint16"),
    ),
    ("key", "(uint256,uint256)"),
    ("node", "bytes32"),
]


def _field(name: str, kind: str, *, indexed: bool = False) -> dict[str, Any]:
    field: dict[str, Any] = {"name": name, "type": kind, "indexed": indexed, "internalType": kind}
    if kind == VERSION:
        field |= {"type": "tuple", "components": [_field(*part) for part in _VERSION_PARTS]}
    if kind == "(uint256,uint256)":
        field |= {"type": "tuple", "components": [_field("x", "uint256"), _field("y", "uint256")]}
    return field


def event(name: str, first: str, second: str, *fields: tuple[str, str]) -> dict[str, Any]:
    """Return the ABI of a trail event whose second indexed field is named ``second``; an account's is an address word."""
    indexed = [
        _field(n, k, indexed=True) for n, k in ((first, "bytes32"), (second, "bytes32"), ("actor", "address"))
    ]
    return {
        "type": "event",
        "name": name,
        "inputs": indexed + [_field(*field) for field in fields],
        "anonymous": False,
    }


LISTED = event("Listed", "subject", "id", ("index", "uint256"), ("codeHash", "bytes32"))
REGISTERED = event("AssetRegistered", "asset", "name", ("kind", "uint8"), ("royalty", "uint16"))
PUBLISHED = event("VersionPublished", "asset", "version", ("number", "uint32"), ("commitments", VERSION))
RECEIVED = event("Received", "payee", "source", ("currency", "address"), ("amount", "uint256"))
CLAIMED = event(
    "Claimed", "node", "payee", ("index", "uint256"), ("currency", "address"), ("amount", "uint256")
)
RENEWED = event("Renewed", "asset", "licence", ("price", "uint128"), ("until", "uint40"))
TRANSFER = {
    "type": "event",
    "name": "Approval",
    "inputs": [_field("a", "address", indexed=True), _field("b", "address", indexed=True)],
}


def topic_of(abi: dict[str, Any]) -> bytes:
    return topic(f"{abi['name']}({','.join(_type(item) for item in abi['inputs'])})")


def _type(field: dict[str, Any]) -> str:
    parts = field.get("components")
    return f"({','.join(_type(part) for part in parts)})" if parts else field["type"]


def record_of(name: str, *events: dict[str, Any], trail: bool = True, **immutables: str) -> dict[str, Any]:
    """Return a build as the package ships it; ``immutables`` are name and type of the getter."""
    code = keccak256(name.encode()) + bytes(32 * len(immutables)) + b"\x5b"
    getters = [
        {"type": "function", "name": n, "inputs": [], "outputs": [{"type": t}]} for n, t in immutables.items()
    ]
    return {
        "contractName": name,
        "abi": [*events, *getters],
        "deployedBytecode": "0x" + code.hex(),
        "immutableReferences": {n: [{"start": 32 + 32 * i, "length": 32}] for i, n in enumerate(immutables)},
        "storageLayout": [{"label": "head", "slot": "0", "offset": 0}] if trail else [],
    }


RECORDS = [
    record_of("Directory", LISTED, TRANSFER),
    record_of("Assets", REGISTERED, PUBLISHED),
    record_of("Treasury", RECEIVED, CLAIMED),
    record_of("Market", RENEWED, assets="address", treasury="address", checker="address", minBond="uint128"),
    record_of("Checker", trail=False),
]
BUILDS: dict[str, Build] = {build.name: build for build in map(load, RECORDS)}
MARKET_IMMUTABLES = {
    "assets": account_word(ASSETS),
    "treasury": account_word(TREASURY),
    "checker": account_word(CHECKER),
    "minBond": (10**16).to_bytes(32, "big"),
}


class Chain:
    """A chain whose contracts record what the test says. It is also its own node: ``call``."""

    def __init__(self, *, chain_id: int = CHAIN_ID, further_fields: int = 0) -> None:
        self.chain_id = chain_id
        self.further_fields = further_fields
        self.code: dict[Address, bytes] = {}
        self.entries: list[Entry] = []
        self.noise: list[dict[str, Any]] = []
        self.block = 1
        self.change: Callable[[str, Any], Any] = lambda method, result: result
        self._log = 0

    def deploy(self, address: Address, name: str, immutables: dict[str, bytes] | None = None) -> None:
        self.code[address] = BUILDS[name].code(immutables or {})

    def mine(self) -> None:
        self.block += 1
        self._log = 0

    def log(self, contract: Address, abi: dict[str, Any], subject: bytes, id: bytes, *values: Value) -> None:
        """Record a trail event of Alice's in the current block."""
        kinds = [_type(field) for field in abi["inputs"] if not field["indexed"]]
        self.entries.append(
            Entry(
                contract=contract,
                block=self.block,
                time=self.time(self.block),
                topics=(topic_of(abi), subject, id, account_word(ALICE)),
                data=encode(kinds, values),
                log=self._log,
                tx=keccak256(self.transaction(self._log)),
            )
        )
        self._log += 1

    def enlist(self, address: Address) -> None:
        index = sum(entry.contract == DIRECTORY for entry in self.entries)
        code_hash = keccak256(self.code[address])
        self.log(DIRECTORY, LISTED, account_word(DIRECTORY), account_word(address), index, code_hash)

    @staticmethod
    def time(block: int) -> int:
        return START + 12 * block

    @staticmethod
    def transaction(index: int) -> bytes:
        body: bytes = rlp.encode([b"transaction", rlp.sedes.big_endian_int.serialize(index)])
        return b"\x02" + body

    # --- tries

    def storage(self, address: Address, block: int) -> HexaryTrie:
        trie = HexaryTrie({})
        heads: dict[bytes, bytes] = {}
        for entry in self.entries:
            if entry.contract == address and entry.block <= block:
                packed = (
                    entry.block.to_bytes(32, "big") + entry.time.to_bytes(32, "big") + b"".join(entry.topics)
                )
                digest = keccak256(packed + entry.data)
                heads[entry.subject] = keccak256(heads.get(entry.subject, bytes(32)) + digest)
        for subject, head in heads.items():
            trie[keccak256(keccak256(subject + bytes(32)))] = rlp.encode(head.lstrip(b"\0"))
        return trie

    def state(self, block: int) -> HexaryTrie:
        trie = HexaryTrie({})
        for address, code in self.code.items():
            root = self.storage(address, block).root_hash
            trie[keccak256(address)] = rlp.encode([b"\x01", b"", root, keccak256(code)])
        trie[keccak256(ALICE)] = rlp.encode([b"\x05", b"\x07", EMPTY, keccak256(b"")])
        return trie

    def receipts(self, block: int) -> tuple[HexaryTrie, HexaryTrie]:
        """Return the receipts and the transactions of a block: one transaction for each entry."""
        receipts, transactions = HexaryTrie({}), HexaryTrie({})
        for entry in self.entries:
            if entry.block == block:
                log = [entry.contract, list(entry.topics), entry.data]
                key = rlp.encode(rlp.sedes.big_endian_int.serialize(entry.log))
                receipts[key] = b"\x02" + rlp.encode(
                    [b"\x01", b"\x52\x08", bytes(256), [[BOB, [], b"other"], log]]
                )
                transactions[key] = self.transaction(entry.log)
        return receipts, transactions

    def header(self, block: int) -> bytes:
        receipts, transactions = self.receipts(block)
        number = rlp.sedes.big_endian_int.serialize
        fields = [
            *(keccak256(b"parent%d" % block), bytes(32), bytes(20), self.state(block).root_hash),
            *(transactions.root_hash, receipts.root_hash, bytes(256), b"", number(block), number(30_000_000)),
            *(number(21_000), number(self.time(block)), b"extra", bytes(32), bytes(8), number(7), bytes(32)),
            *(b"", b"", bytes(32), bytes(32)),
        ]
        raw: bytes = rlp.encode(fields + [bytes([n]) * 32 for n in range(self.further_fields)])
        return raw

    # --- node

    def call(self, method: str, params: Sequence[object], /) -> object:
        return self.change(method, getattr(self, f"_{method}")(*params))

    def _eth_chainId(self) -> str:
        return hex(self.chain_id)

    def _number(self, tag: str) -> int:
        return self.block if tag == "latest" else int(tag, 16)

    def _eth_getBlockByNumber(self, tag: str, full: bool) -> dict[str, Any] | None:
        number = self._number(tag)
        if number > self.block:
            return None
        raw = self.header(number)
        fields = [bytes(item) for item in rlp.decode(raw)]
        names = (
            *(
                "parentHash",
                "sha3Uncles",
                "miner",
                "stateRoot",
                "transactionsRoot",
                "receiptsRoot",
                "logsBloom",
            ),
            *("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce"),
            *("baseFeePerGas", "withdrawalsRoot", "blobGasUsed", "excessBlobGas", "parentBeaconBlockRoot"),
            *("requestsHash", "later1", "later2"),
        )
        numbers = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp", "baseFeePerGas", "blobGasUsed")
        answer: dict[str, Any] = {"hash": "0x" + keccak256(raw).hex(), "uncles": []}
        for name, value in zip(names, fields, strict=False):
            is_number = name in (*numbers, "excessBlobGas")
            answer[name] = hex(int.from_bytes(value, "big")) if is_number else "0x" + value.hex()
        return answer

    def _debug_getRawHeader(self, tag: str) -> str:
        return "0x" + self.header(self._number(tag)).hex()

    def _eth_getCode(self, address: str, tag: str) -> str:
        return "0x" + self.code.get(Address(bytes.fromhex(address[2:])), b"").hex()

    def _eth_getLogs(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        first, last = int(query["fromBlock"], 16), int(query["toBlock"], 16)
        return [
            {
                "address": "0x" + entry.contract.hex(),
                "topics": ["0x" + word.hex() for word in entry.topics],
                "data": "0x" + entry.data.hex(),
                "blockNumber": hex(entry.block),
                "logIndex": hex(entry.log),
                "transactionHash": "0x" + entry.tx.hex(),
            }
            for entry in self.entries
            if first <= entry.block <= last
            and "0x" + entry.contract.hex() in query["address"]
            and "0x" + entry.subject.hex() in query["topics"][1]
        ] + self.noise

    def _eth_getProof(self, address: str, slots: list[str], tag: str) -> dict[str, Any]:
        account, number = Address(bytes.fromhex(address[2:])), self._number(tag)
        storage = self.storage(account, number)
        return {
            "accountProof": _proof(self.state(number), keccak256(account)),
            "storageProof": [
                {"key": slot, "proof": _proof(storage, keccak256(bytes.fromhex(slot[2:])))} for slot in slots
            ],
        }


def _proof(trie: HexaryTrie, key: bytes) -> list[str]:
    nodes: Any = trie.get_proof(key)  # type: ignore[no-untyped-call]
    return ["0x" + rlp.encode(node).hex() for node in nodes]


def version_of(node: bytes, *, asset: AssetId = ASSET, number: int = 1) -> Value:
    return (asset, b"\x11" * 32, b"\x22" * 32, 1000 + number, 1, (number, number + 1), node)


def market(*, further_fields: int = 0) -> Chain:
    """Return a chain with a market of four contracts and an asset with two versions, one node of which pays another."""
    chain = Chain(further_fields=further_fields)
    chain.deploy(DIRECTORY, "Directory")
    chain.deploy(ASSETS, "Assets")
    chain.deploy(TREASURY, "Treasury")
    chain.deploy(CHECKER, "Checker")
    chain.deploy(MARKET, "Market", MARKET_IMMUTABLES)
    chain.enlist(ASSETS)
    chain.enlist(TREASURY)
    chain.mine()
    chain.enlist(MARKET)
    chain.log(ASSETS, REGISTERED, ASSET, NAME, 0, 250)
    chain.log(ASSETS, PUBLISHED, ASSET, b"\x01" * 32, 1, version_of(NODE))
    chain.mine()
    chain.log(MARKET, RENEWED, ASSET, b"\x0c" * 32, 10**18, START)
    chain.log(TREASURY, RECEIVED, NODE, account_word(MARKET), bytes(20), 10**18)
    chain.log(MARKET, RENEWED, b"\x77" * 32, b"\x0d" * 32, 5, START)
    chain.log(TREASURY, RECEIVED, STRANGER_NODE, account_word(MARKET), bytes(20), 5)
    chain.mine()
    chain.log(TREASURY, CLAIMED, NODE, CHILD, 0, bytes(20), 10**17)
    chain.log(TREASURY, RECEIVED, CHILD, NODE, bytes(20), 10**17)
    chain.log(TREASURY, CLAIMED, NODE, account_word(BOB), 1, bytes(20), 9)
    chain.mine()
    chain.log(MARKET, RENEWED, ASSET, b"\x0c" * 32, 10**18, START + 1)
    chain.mine()
    return chain
