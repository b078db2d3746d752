"""Verify a bundle offline, in the numbered steps of docs/trail.md; the first that fails raises."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from steelyard.audit import bundle as bundles
from steelyard.audit.account import Account, head_slot, prove_account, prove_word
from steelyard.audit.build import Build
from steelyard.audit.bundle import Bundle, Companion, HeadProof
from steelyard.audit.entry import NO_HEAD, Entry, fold
from steelyard.audit.events import Decoded
from steelyard.audit.receipt import Place, prove_place
from steelyard.domain.abi import topic
from steelyard.domain.header import Header, parse
from steelyard.domain.types import Address, AssetId, NodeId, account_word, asset_id
from steelyard.errors import ProofError, TrailError, VerificationError

DIRECTORY: Final = "Directory"
"""Name of the Directory's build."""

CLAIMED: Final = topic("Claimed(bytes32,bytes32,address,uint256,address,uint256)")
"""The event by which a treasury is known, and by which income passes from node to node."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """What the auditor brings, and trusts.

    Attributes:
        chain_id: EIP-155.
        directory: address of the Directory.
        block_hash: of the block that the bundle is complete to, 32 bytes.
        builds: known builds by name.
        blocks: hashes of further blocks, for receipt proofs.
    """

    chain_id: int
    directory: Address
    block_hash: bytes
    builds: Mapping[str, Build]
    blocks: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A contract whose code is proved: 20-byte address, build, and immutables as 32-byte words."""

    address: Address
    build: Build
    immutables: Mapping[str, bytes]

    def __str__(self) -> str:
        """Return build and address."""
        return f"{self.build.name} 0x{self.address.hex()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A verified history: complete to ``block``, nothing later.

    Attributes:
        chain_id: EIP-155, the auditor's.
        asset: its id.
        block: header of the block that the history is complete to.
        directory: the Directory.
        contracts: all contracts that it lists, in order.
        companions: contracts without a trail that these rely on.
        listings: entries of the Directory.
        entries: all entries of the asset and its nodes, by block.
        nodes: revenue nodes that belong to the asset, ascending.
        places: proved places by index among ``entries``; only these have a certain ``tx``.
    """

    chain_id: int
    asset: AssetId
    block: Header
    directory: Contract
    contracts: tuple[Contract, ...]
    companions: tuple[Contract, ...]
    listings: tuple[Entry, ...]
    entries: tuple[Entry, ...]
    nodes: tuple[NodeId, ...]
    places: Mapping[int, Place] = field(default_factory=dict)

    @property
    def statement(self) -> str:
        """What the history claims, in one sentence."""
        return f"complete to block {self.block.number} (0x{self.block.hash.hex()}), nothing later"

    def contract(self, address: Address) -> Contract:
        """Return the listed contract, or the Directory, at the address of an entry."""
        return next(item for item in (*self.contracts, self.directory) if item.address == address)


def verify(data: bytes, *, anchors: Anchors) -> Verified:
    """Verify the bytes of a bundle.

    Raises:
        TrailError: the document is malformed, or the history is incomplete, altered or re-ordered; the
            message names the contract and the entries.
        ProofError: a header, account, code, storage or receipt proof is false; the message names the
            contract.
    """
    # 1. The document.
    bundle = bundles.parse(data)
    # 2. The market meant.
    if bundle.chain_id != anchors.chain_id:
        raise TrailError(f"the bundle is of chain {bundle.chain_id}, not {anchors.chain_id}")
    if bundle.directory.address != anchors.directory:
        raise TrailError(
            f"the bundle is of Directory 0x{bundle.directory.address.hex()}, not 0x{anchors.directory.hex()}"
        )
    # 3. The block meant.
    header = _named("the header", lambda: parse(bundle.header))
    if header.hash != anchors.block_hash:
        raise ProofError(
            f"the header hashes to 0x{header.hash.hex()}, not to the auditor's 0x{anchors.block_hash.hex()}"
        )
    # 4. The Directory, 5. its list, 6. what it lists.
    world = _World(bundle, header, anchors)
    # 7. The form of entries.
    _check_form(bundle, world)
    # 8. Completeness for the asset, 9. for its nodes.
    nodes = _check_heads(bundle, world)
    # 10. The asset's name for itself.
    _check_registration(bundle, world)
    # 11. Places.
    places = _check_places(bundle, anchors)
    return Verified(
        chain_id=bundle.chain_id,
        asset=bundle.asset,
        block=header,
        directory=world.directory,
        contracts=tuple(world.listed.values()),
        companions=tuple(world.companions.values()),
        listings=bundle.listings,
        entries=bundle.entries,
        nodes=nodes,
        places=places,
    )


class _World:
    """The contracts of the market as they are at the block, all proved."""

    def __init__(self, bundle: Bundle, header: Header, anchors: Anchors) -> None:
        self.header = header
        self._builds = anchors.builds
        self._accounts: dict[Address, Account] = {}
        # 4. The Directory.
        if bundle.directory.build != DIRECTORY:
            raise TrailError(f"the Directory's build is called {DIRECTORY}, not {bundle.directory.build}")
        self.directory = self._prove(bundle.directory)
        # 5. Its list.
        code_hashes = self._check_listings(bundle)
        # 6. What it lists, and what that relies on.
        self.listed = {item.address: self._prove(item) for item in bundle.contracts}
        self.companions = {item.address: self._prove(item) for item in bundle.companions}
        for address, contract in self.listed.items():
            if self._accounts[address].code_hash != code_hashes[address]:
                raise TrailError(f"the code of {contract} is not the one that was listed")
        self._check_references(bundle)

    def storage_root(self, contract: Contract) -> bytes:
        return self._accounts[contract.address].storage_root

    def check_head(
        self, contract: Contract, head: HeadProof, entries: Mapping[int, Entry], noun: str
    ) -> None:
        """Check that these entries, by their index, are all that a contract recorded about a subject."""
        proved = _named(
            f"the head of 0x{head.subject.hex()} in {contract}",
            lambda: prove_word(self.storage_root(contract), slot=head_slot(head.subject), nodes=head.proof),
        )
        if fold(entries.values()) == proved:
            return
        about = f"{contract} about 0x{head.subject.hex()}"
        if not entries:
            raise TrailError(f"the bundle has no {noun} of {about}, and the contract recorded some")
        which = f"{noun} {_ranges(list(entries))}"
        if proved == NO_HEAD:
            raise TrailError(f"{which} of {about}: the contract recorded none")
        raise TrailError(
            f"{which} of {about} do not lead to its head: one is missing, added, altered or re-ordered"
        )

    def _prove(self, item: Companion) -> Contract:
        """Prove that a contract has the code of a known build."""
        address = f"0x{item.address.hex()}"
        build = self._builds.get(item.build)
        if build is None:
            raise TrailError(f"the auditor knows no build {item.build[:64]!r}, which {address} is said to be")
        contract = Contract(address=item.address, build=build, immutables=item.immutables)
        account = _named(
            f"the account of {contract}",
            lambda: prove_account(self.header.state_root, address=item.address, nodes=item.account),
        )
        if build.code_hash(item.immutables) != account.code_hash:
            raise ProofError(f"the code at {address} is not build {build.name} with the immutables given")
        self._accounts[item.address] = account
        return contract

    def _check_listings(self, bundle: Bundle) -> dict[Address, bytes]:
        """Return the listed addresses, in order, and the code hash of each when it was listed."""
        subject = account_word(self.directory.address)
        if [head.subject for head in bundle.directory.heads] != [subject]:
            raise TrailError(f"{self.directory} needs the proof of one head, its own")
        self.check_head(
            self.directory, bundle.directory.heads[0], dict(enumerate(bundle.listings)), "listings"
        )
        found: dict[Address, bytes] = {}
        for index, entry in enumerate(bundle.listings):
            if entry.contract != self.directory.address or entry.subject != subject:
                raise TrailError(f"listing {index} is not the Directory's")
            fields = _decode(self.directory, entry, "Listed", f"listing {index}")
            code_hash = fields.get("codeHash")
            if fields.get("index") != index or not isinstance(code_hash, bytes) or any(entry.id[:12]):
                raise TrailError(f"listing {index} does not list contract {index}")
            found[Address(entry.id[12:])] = code_hash
        given = [item.address for item in bundle.contracts]
        for index, address in enumerate(found):
            if given[index : index + 1] != [address]:
                raise TrailError(
                    f"contract {index} of the Directory, 0x{address.hex()}, is not contract {index} of the bundle"
                )
        if len(given) > len(found):
            raise TrailError(
                f"contract {len(found)} of the bundle, 0x{given[len(found)].hex()}, is not in the Directory"
            )
        return found

    def _check_references(self, bundle: Bundle) -> None:
        """Check that no immutable points outside, and that every companion is needed and has no trail."""
        known = {
            account_word(address) for address in (*self.listed, *self.companions, self.directory.address)
        }
        used: set[bytes] = set()
        for contract in (self.directory, *self.listed.values(), *self.companions.values()):
            for name in sorted(contract.build.addresses):
                word = contract.immutables[name]
                if word not in known:
                    raise TrailError(
                        f"{name} of {contract} is 0x{word[12:].hex()}, which is neither listed nor a companion"
                    )
                used.add(word)
        if len(self.companions) != len(bundle.companions):
            raise TrailError("a companion stands twice in the bundle")
        for address, contract in self.companions.items():
            if (
                address in self.listed
                or address == self.directory.address
                or account_word(address) not in used
            ):
                raise TrailError(f"nothing needs {contract} as a companion")
            if contract.build.keeps_trail:
                raise TrailError(f"{contract} keeps a trail and is not listed in the Directory")


def _check_form(bundle: Bundle, world: _World) -> None:
    """7. Entries are of known contracts and events, in order, and within the block."""
    times: dict[int, int] = {world.header.number: world.header.timestamp}
    for noun, entries in (("listing", bundle.listings), ("entry", bundle.entries)):
        last = (0, -1)
        last_time = 0
        for index, entry in enumerate(entries):
            where = f"{noun} {index}"
            contract = world.directory if noun == "listing" else world.listed.get(entry.contract)
            if contract is None:
                raise TrailError(f"{where} is of 0x{entry.contract.hex()}, which the Directory does not list")
            if entry.event not in contract.build.events or not contract.build.keeps_trail:
                raise TrailError(f"{where} is no trail event of {contract}")
            if any(entry.topics[3][:12]):
                raise TrailError(f"the actor of {where} is no address")
            if entry.block > world.header.number:
                raise TrailError(
                    f"{where} is of block {entry.block}, after the bundle's {world.header.number}"
                )
            if (entry.block, entry.log) <= last:
                raise TrailError(f"{where} stands after one of a later, or the same, block and log index")
            if times.setdefault(entry.block, entry.time) != entry.time:
                raise TrailError(
                    f"{where} gives block {entry.block} another time than the header, or an entry before it, does"
                )
            if not last_time <= entry.time <= world.header.timestamp:
                raise TrailError(
                    f"the time of {where} is before that of an earlier block, or after the header's"
                )
            last, last_time = (entry.block, entry.log), entry.time


def _check_heads(bundle: Bundle, world: _World) -> tuple[NodeId, ...]:
    """8. and 9. What is shown about the asset and its nodes is all that there is; returns the nodes."""
    chains: dict[tuple[Address, bytes], dict[int, Entry]] = {}
    for index, entry in enumerate(bundle.entries):
        chains.setdefault((entry.contract, entry.subject), {})[index] = entry
    proofs = {item.address: item.heads for item in bundle.contracts}
    with_trail = [contract for contract in world.listed.values() if contract.build.keeps_trail]
    for contract in world.listed.values():
        wanted = [bundle.asset] if contract.build.keeps_trail else []
        if [head.subject for head in proofs[contract.address][:1]] != wanted:
            raise TrailError(
                f"{contract} needs a head of the asset first if it keeps a trail, and none otherwise"
            )
    # 8. The asset, in every contract that keeps a trail.
    for contract in with_trail:
        entries = chains.pop((contract.address, bundle.asset), {})
        world.check_head(contract, proofs[contract.address][0], entries, "entries")
    # 9. Its nodes, in every treasury. The entries that name them are proved by now, or are themselves
    # checked here.
    nodes = nodes_of(bundle.asset, entries=bundle.entries, listed=world.listed)
    if nodes and not any(is_treasury(contract.build) for contract in with_trail):
        raise TrailError("the asset's versions have revenue nodes, and no listed contract is a treasury")
    for contract in with_trail:
        heads = proofs[contract.address][1:]
        # First each head that is there: a false one says more than a list that does not fit.
        for head in heads:
            entries = chains.pop((contract.address, head.subject), {})
            world.check_head(contract, head, entries, "entries")
        if [head.subject for head in heads] != (list(nodes) if is_treasury(contract.build) else []):
            raise TrailError(f"{contract} does not have the heads of exactly the asset's nodes, in order")
    for (address, subject), entries in chains.items():
        raise TrailError(
            f"entry {min(entries)} of {world.listed[address]} is about 0x{subject.hex()}, which is neither the asset nor a node of it"
        )
    return nodes


def nodes_of(
    asset: AssetId, *, entries: Iterable[Entry], listed: Mapping[Address, Contract]
) -> tuple[NodeId, ...]:
    """Return the nodes that belong to an asset, ascending: docs/trail.md, "Which nodes belong to an asset".

    Args:
        asset: The asset.
        entries: Trail events of listed contracts.
        listed: The contracts.

    Raises:
        TrailError: the data of a ``VersionPublished`` entry is malformed.
    """
    paid: dict[bytes, set[bytes]] = {}
    frontier: set[bytes] = set()
    for index, entry in enumerate(entries):
        contract = listed[entry.contract]
        event = contract.build.events[entry.event].name
        if event == "VersionPublished" and entry.subject == asset:
            frontier.add(node_of(contract, entry, f"entry {index}"))
        elif entry.event == CLAIMED and is_node(entry.id):
            paid.setdefault(entry.subject, set()).add(entry.id)
    found: set[bytes] = set()
    while frontier:
        node = frontier.pop()
        found.add(node)
        frontier |= paid.get(node, set()) - found
    return tuple(NodeId(node) for node in sorted(found))


def node_of(contract: Contract, entry: Entry, where: str) -> bytes:
    """Return the revenue node in a ``VersionPublished`` entry; ``where`` names the entry in errors.

    Raises:
        TrailError: the entry is of another event, or its data is malformed.
    """
    commitments = _decode(contract, entry, "VersionPublished", where).get("commitments")
    node = commitments.get("node") if isinstance(commitments, dict) else None
    if not isinstance(node, bytes):
        raise TrailError(f"{where}: build {contract.build.name} publishes versions without a node")
    return node


def is_treasury(build: Build) -> bool:
    """Return whether a contract of this build keeps the trails of revenue nodes."""
    return build.keeps_trail and CLAIMED in build.events


def is_node(payee: bytes) -> bool:
    """Return whether a payee's word is a revenue node: its top bit is set."""
    return payee[0] & 0x80 != 0


def _check_registration(bundle: Bundle, world: _World) -> None:
    """10. The asset's id is the hash of chain, registry, creator and name."""
    if not bundle.entries:
        return
    found = [
        entry
        for entry in bundle.entries
        if entry.subject == bundle.asset
        and world.listed[entry.contract].build.events[entry.event].name == "AssetRegistered"
    ]
    if len(found) != 1:
        raise TrailError(f"asset 0x{bundle.asset.hex()} was registered {len(found)} times")
    entry = found[0]
    expected = asset_id(chain_id=bundle.chain_id, registry=entry.contract, creator=entry.actor, name=entry.id)
    if expected != bundle.asset:
        raise TrailError(
            f"asset 0x{bundle.asset.hex()} was registered on another chain: its id would be 0x{expected.hex()}"
        )


def _check_places(bundle: Bundle, anchors: Anchors) -> dict[int, Place]:
    """11. Receipt proofs."""
    places: dict[int, Place] = {}
    last = (-1, -1, -1)
    for number, proof in enumerate(bundle.receipts):
        if proof.entry >= len(bundle.entries) or proof.entry <= max(places, default=-1):
            raise TrailError(f"receipt proof {number} is of no entry, or not in order")
        entry = bundle.entries[proof.entry]
        blocks = anchors.blocks | {anchors.block_hash}
        place = _named(f"receipt proof of entry {proof.entry}", _placing(proof, entry, blocks))
        if (entry.block, place.index, place.position) <= last:
            raise TrailError(f"entry {proof.entry} stands in its block before an earlier entry")
        last = (entry.block, place.index, place.position)
        places[proof.entry] = place
    return places


def _placing(proof: bundles.ReceiptProof, entry: Entry, blocks: frozenset[bytes]) -> Callable[[], Place]:
    return lambda: prove_place(proof, entry=entry, blocks=blocks)


def _decode(contract: Contract, entry: Entry, event: str, where: str) -> Mapping[str, Decoded]:
    """Return the fields of an entry that must be of a certain event."""
    known = contract.build.events.get(entry.event)
    if known is None or known.name != event:
        raise TrailError(f"{where} of {contract} is not {event}")
    try:
        return known.decode(entry)
    except VerificationError as exc:
        raise TrailError(f"{where} of {contract}: {exc}") from exc


def _named(what: str, prove: Callable[[], T]) -> T:
    """Put the name of what is proved before the message of a proof that fails."""
    try:
        return prove()
    except ProofError as exc:
        raise ProofError(f"{what}: {exc}") from exc


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as ``0 to 3, 5``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] + 1 == number:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return _shorten(f"{a}" if a == b else f"{a} to {b}" for a, b in parts)


def _shorten(parts: Iterable[str]) -> str:
    shown = list(parts)
    return ", ".join(shown if len(shown) <= 8 else [*shown[:8], f"... ({len(shown)} ranges)"])
