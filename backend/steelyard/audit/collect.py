"""Collect a bundle from a node: logs, one header, and proofs at that block; verified before it is returned.

The node is not trusted. A log that it hides, adds or alters makes the heads come out wrong, and the contract
is named; a proof that belongs to another block does not verify. Only that the block is on the chain is its
word, until an auditor compares the hash.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Protocol

from steelyard.audit import mpt
from steelyard.audit.account import head_slot
from steelyard.audit.build import Build
from steelyard.audit.bundle import Bundle, Companion, ContractProof, HeadProof
from steelyard.audit.entry import Entry
from steelyard.audit.verify import Anchors, Contract, Verified, is_treasury, nodes_of, verify
from steelyard.domain.hash import keccak256
from steelyard.domain.header import Header, encode_fields, parse
from steelyard.domain.types import Address, AssetId, account_word
from steelyard.errors import ChainError, InputError, NotFoundError, ProofError, TrailError

_PAGE: Final = 1000
_SUBJECTS: Final = 100


class RpcLike(Protocol):
    """A JSON-RPC endpoint of an Ethereum node."""

    def call(self, method: str, params: Sequence[object], /) -> object:
        """Return the result of a call; raises an error of this package if there is none."""
        ...


def collect(
    rpc: RpcLike,
    *,
    directory: Address,
    asset: AssetId,
    builds: Mapping[str, Build],
    block: int | None = None,
    first_block: int = 0,
    span: int | None = None,
) -> tuple[bytes, Verified]:
    """Collect the history of an asset up to a block.

    Args:
        rpc: The node.
        directory: The Directory's address.
        asset: The asset.
        builds: Known builds by name.
        block: Number of the block; the latest if None. Choose a final one where blocks can still be replaced.
        first_block: Where the search for logs starts: at or before the market's first block.
        span: Most blocks that the node searches in one call; all at once if None.

    Returns:
        The bundle's bytes, and what verifying them gave.

    Raises:
        TrailError: the logs of a contract do not lead to its heads: one was hidden, added or altered. Names
            the contract.
        ProofError: a proof of the node is false.
        NotFoundError: no Directory at that address, or no such block.
        ChainError: the node does not answer as a node should.
        InputError: ``first_block`` or ``span`` is no block number or no positive number.
    """
    if first_block < 0 or (span is not None and span < 1):
        raise InputError("first_block is a block number, and span is at least 1")
    chain_id = _integer(rpc.call("eth_chainId", []))
    header, raw = fetch_header(rpc, "latest" if block is None else hex(block))
    node = _Node(rpc, header, builds, first_block, span)
    book = node.contract(directory)
    if book is None:
        raise NotFoundError(f"there is no Directory at 0x{directory.hex()} at block {header.number}")
    listings = node.entries([book], [account_word(directory)])
    listed = _listed(node, listings)
    companions = _companions(node, book, listed)
    entries, nodes = _history(node, asset, listed)
    bundle = Bundle(
        chain_id=chain_id,
        asset=asset,
        header=raw,
        directory=node.prove(book, [account_word(directory)]),
        contracts=tuple(
            node.prove(contract, _subjects(contract, asset, nodes)) for contract in listed.values()
        ),
        companions=tuple(_companion(node.prove(contract, [])) for contract in companions.values()),
        listings=listings,
        entries=entries,
        receipts=(),
    )
    data = bundle.to_bytes()
    anchors = Anchors(chain_id=chain_id, directory=directory, block_hash=header.hash, builds=builds)
    return data, verify(data, anchors=anchors)


def fetch_header(rpc: RpcLike, block: str) -> tuple[Header, bytes]:
    """Return a header and its RLP, rebuilt from the node's fields and compared with the block's hash.

    Args:
        rpc: The node.
        block: ``latest``, another tag, a number in hexadecimal, or a 32-byte hash.

    Raises:
        NotFoundError: there is no such block.
        ChainError: the fields do not hash to the block's hash, so it has fields unknown here; nor does
            ``debug_getRawHeader`` help.
    """
    method = "eth_getBlockByHash" if len(block) == 66 else "eth_getBlockByNumber"
    fields = rpc.call(method, [block, False])
    if fields is None:
        raise NotFoundError(f"the node has no block {block}")
    fields = _object(fields)
    try:
        raw = encode_fields(fields)
    except ProofError:
        raw = b""
    expected = _hex(fields.get("hash"), 32)
    if keccak256(raw) != expected:
        raw = _raw_header(rpc, fields.get("number"))
    if keccak256(raw) != expected:
        raise ChainError(
            f"the header of block {block} does not hash to 0x{expected.hex()}: it has fields unknown here, or is false. Use a "
            "node that answers debug_getRawHeader"
        )
    return parse(raw), raw


def _raw_header(rpc: RpcLike, number: object) -> bytes:
    """Return the header as the node keeps it, or nothing where it does not say."""
    try:
        return _hex(rpc.call("debug_getRawHeader", [number]))
    except ChainError:
        return b""


class _Node:
    """A node, asked about one block."""

    def __init__(
        self, rpc: RpcLike, header: Header, builds: Mapping[str, Build], first_block: int, span: int | None
    ) -> None:
        self._rpc = rpc
        self._header = header
        self._tag = hex(header.number)
        self._builds = builds
        self._first_block = first_block
        self._span = span or header.number + 1
        self._times = {header.number: header.timestamp}

    def contract(self, address: Address) -> Contract | None:
        """Return the contract at an address, if it is of a known build."""
        code = _hex(self._rpc.call("eth_getCode", ["0x" + address.hex(), self._tag]))
        for build in self._builds.values():
            immutables = build.match(code) if code else None
            if immutables is not None:
                return Contract(address=address, build=build, immutables=immutables)
        return None

    def entries(self, contracts: Sequence[Contract], subjects: Sequence[bytes]) -> tuple[Entry, ...]:
        """Return all entries about these subjects in these contracts, by block and log index."""
        known = {contract.address: contract.build for contract in contracts if contract.build.keeps_trail}
        found = []
        for log in self._logs(list(known), subjects):
            topics = tuple(_hex(topic, 32) for topic in _list(log.get("topics")))
            address = Address(_hex(log.get("address"), 20))
            # A log that is no trail event may have a subject in its place: an approval of an account, for
            # one.
            if len(topics) != 4 or address not in known or topics[0] not in known[address].events:
                continue
            number = _integer(log.get("blockNumber"))
            found.append(
                Entry(
                    contract=address,
                    block=number,
                    time=self._time(log, number),
                    topics=(topics[0], topics[1], topics[2], topics[3]),
                    data=_hex(log.get("data")),
                    log=_integer(log.get("logIndex")),
                    tx=_hex(log.get("transactionHash"), 32),
                )
            )
        return tuple(sorted(found, key=lambda entry: (entry.block, entry.log)))

    def prove(self, contract: Contract, subjects: Sequence[bytes]) -> ContractProof:
        """Return the proofs of a contract and of the heads of these subjects."""
        address = "0x" + contract.address.hex()
        account: tuple[bytes, ...] = ()
        heads: list[HeadProof] = []
        for start in range(0, max(1, len(subjects)), _SUBJECTS):
            part = subjects[start : start + _SUBJECTS]
            slots = ["0x" + head_slot(subject).hex() for subject in part]
            answer = _object(self._rpc.call("eth_getProof", [address, slots, self._tag]))
            account = _proof(answer.get("accountProof"))
            storage = _list(answer.get("storageProof"))
            if len(storage) != len(part):
                raise ChainError(f"the node proved {len(storage)} of {len(part)} slots of {address}")
            for subject, item in zip(part, storage, strict=True):
                heads.append(HeadProof(subject=subject, proof=_proof(_object(item).get("proof"))))
        return ContractProof(
            address=contract.address,
            build=contract.build.name,
            immutables=contract.immutables,
            account=account,
            heads=tuple(heads),
        )

    def _logs(
        self, addresses: Sequence[Address], subjects: Sequence[bytes]
    ) -> Iterable[Mapping[str, object]]:
        if not addresses:
            return
        for first in range(self._first_block, self._header.number + 1, self._span):
            last = min(first + self._span - 1, self._header.number)
            for start in range(0, len(subjects), _PAGE):
                query = {
                    "fromBlock": hex(first),
                    "toBlock": hex(last),
                    "address": ["0x" + address.hex() for address in addresses],
                    "topics": [None, ["0x" + subject.hex() for subject in subjects[start : start + _PAGE]]],
                }
                for log in _list(self._rpc.call("eth_getLogs", [query])):
                    yield _object(log)

    def _time(self, log: Mapping[str, object], number: int) -> int:
        """Return the time of a log's block; not every node puts it into the log. The fold proves it."""
        if number not in self._times:
            given = log.get("blockTimestamp")
            if given is None:
                given = _object(self._rpc.call("eth_getBlockByNumber", [hex(number), False])).get("timestamp")
            self._times[number] = _integer(given)
        return self._times[number]


def _listed(node: _Node, listings: Sequence[Entry]) -> dict[Address, Contract]:
    """Return the contracts that the Directory lists, in order."""
    listed = {}
    for entry in listings:
        address = Address(entry.id[12:])
        found = node.contract(address)
        if found is None:
            raise TrailError(f"0x{address.hex()}, which the Directory lists, is of no known build")
        listed[address] = found
    return listed


def _history(
    node: _Node, asset: AssetId, listed: Mapping[Address, Contract]
) -> tuple[tuple[Entry, ...], tuple[bytes, ...]]:
    """Return the entries of an asset and of its nodes, and the nodes."""
    entries = node.entries(list(listed.values()), [asset])
    treasuries = [contract for contract in listed.values() if is_treasury(contract.build)]
    nodes: tuple[bytes, ...] = ()
    while True:
        found = nodes_of(asset, entries=entries, listed=listed)
        fresh = sorted(set(found) - set(nodes))
        if not fresh:
            return entries, nodes
        more = node.entries(treasuries, fresh)
        entries = tuple(sorted((*entries, *more), key=lambda entry: (entry.block, entry.log)))
        nodes = found


def _subjects(contract: Contract, asset: AssetId, nodes: Sequence[bytes]) -> list[bytes]:
    """Return the subjects whose heads in a listed contract belong into the bundle, in order."""
    if not contract.build.keeps_trail:
        return []
    return [asset, *(nodes if is_treasury(contract.build) else ())]


def _companions(node: _Node, book: Contract, listed: Mapping[Address, Contract]) -> dict[Address, Contract]:
    """Return the contracts that immutables name and the Directory does not list."""
    found: dict[Address, Contract] = {}
    unread = [book, *listed.values()]
    while unread:
        contract = unread.pop()
        for name in sorted(contract.build.addresses):
            address = Address(contract.immutables[name][12:])
            if address in listed or address in found or address == book.address:
                continue
            companion = node.contract(address)
            if companion is None:
                raise TrailError(f"{name} of {contract} is 0x{address.hex()}, which is of no known build")
            found[address] = companion
            unread.append(companion)
    return found


def _companion(proof: ContractProof) -> Companion:
    return Companion(
        address=proof.address, build=proof.build, immutables=proof.immutables, account=proof.account
    )


def _proof(value: object) -> tuple[bytes, ...]:
    return mpt.outer([_hex(item) for item in _list(value)])


def _object(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ChainError("the node gave no object where one was expected")
    return value


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise ChainError("the node gave no array where one was expected")
    return value


def _hex(value: object, size: int | None = None) -> bytes:
    try:
        if not isinstance(value, str) or value[:2] != "0x":
            raise ValueError
        data = bytes.fromhex(value[2:])
        if size is not None and len(data) != size:
            raise ValueError
    except ValueError as exc:
        raise ChainError(f"the node gave {str(value)[:80]!r} where bytes were expected") from exc
    return data


def _integer(value: object) -> int:
    try:
        if not isinstance(value, str) or value[:2] != "0x" or len(value) > 66:
            raise ValueError
        return int(value, 16)
    except ValueError as exc:
        raise ChainError(f"the node gave {str(value)[:80]!r} where a number was expected") from exc
