"""Calls and reads of the contract Channels: metered offers and channels (docs/metering.md).

What the log says of them is in :class:`steelyard.domain.records.AssetState`, folded with everything else about the asset.

Signatures are those of ``contracts/interfaces/IMeteredOffers.sol`` and ``IChannels.sol``; a test compares them with the compiled ABI.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from steelyard.chain.calls import Call, call_data
from steelyard.chain.deployment import Deployment
from steelyard.chain.hexdata import read_data, to_hex
from steelyard.chain.rpc import BlockId, Rpc, block_param
from steelyard.domain.abi import Value, decode, encode
from steelyard.domain.events import CHANNELS, TOPICS, TYPES
from steelyard.domain.hash import keccak256
from steelyard.domain.metering import METERED_TERMS, ChannelId, ChannelState, MeteredTerms
from steelyard.domain.types import NATIVE, VERSION, Address, AssetId, Version
from steelyard.errors import RefusedError, VerificationError

PARTIES = "(address,address,uint64)"
CLAIM = f"(bytes32,{METERED_TERMS},bytes)"
CLAIMED = TOPICS["UsageClaimed"]
CHANGED = (CLAIMED, *(TOPICS[f"Channel{what}"] for what in ("Opened", "ToppedUp", "Closing", "Closed")))
"""Every event with which what is stored about a channel changes."""
MAX_ROWS = 500
"""Vouchers in one claim: safe below 16,777,216 gas."""
_BATCH: Final = 100
"""Calls in one request; more are refused by some endpoints."""
_CHANNEL: Final = "channels(bytes32)"
_STORED: Final = ("uint104", "uint104", "uint40", "uint8")


@dataclass(frozen=True, kw_only=True)
class StoredChannel:
    """``IChannels.channels``: amounts in smallest units, ``closes_at`` in Unix seconds or 0."""

    deposit: int
    claimed: int
    closes_at: int
    state: ChannelState


@dataclass(frozen=True, slots=True, kw_only=True)
class VoucherRow:
    """A voucher as it is claimed; ``vs`` as in ERC-2098."""

    payer: Address
    signer: Address
    nonce: int
    units: int
    sequence: int
    root: bytes
    r: bytes
    vs: bytes

    def packed(self) -> bytes:
        """Return the 168 bytes of a claim's row."""
        numbers = (
            self.nonce.to_bytes(8, "big"),
            self.units.to_bytes(16, "big"),
            self.sequence.to_bytes(8, "big"),
        )
        return b"".join((self.payer, self.signer, *numbers, self.root, self.r, self.vs))


def channels_of(deployment: Deployment) -> Address:
    """Return where the contract Channels of a market lies.

    Raises:
        RefusedError: this market has none.
    """
    found = deployment.contracts.get(CHANNELS)
    if found is None:
        raise RefusedError("this market has no metered use: its deployment has no contract Channels")
    return found.address


def terms_hash(terms: MeteredTerms) -> bytes:
    """Return the hash of an offer's terms, 32 bytes."""
    return keccak256(encode((METERED_TERMS,), (terms.abi(),)))


class ChannelCalls:
    """Builds the calls of one contract Channels. Every method raises InputError if a value does not fit its type."""

    def __init__(self, channels: Address) -> None:
        """Remember where it lies."""
        self._at = channels

    def make_offer(self, version: Version, terms: MeteredTerms) -> Call:
        """Make a metered offer; the caller owns the asset or sells it."""
        return self._build(f"makeOffer({VERSION},{METERED_TERMS})", version.abi(), terms.abi())

    def close_offer(self, asset: AssetId, terms: MeteredTerms) -> Call:
        """Close a metered offer; channels that are open go on."""
        return self._build("closeOffer(bytes32,bytes32)", asset, terms_hash(terms))

    def open(self, asset: AssetId, terms: MeteredTerms, *, signer: Address, nonce: int, amount: int) -> Call:
        """Open a channel; the caller pays, an ERC-20 by its allowance."""
        value = amount if terms.currency == NATIVE else 0
        signature = "open(bytes32,bytes32,address,uint64,uint128)"
        return self._build(signature, asset, terms_hash(terms), signer, nonce, amount, value=value)

    def top_up(self, asset: AssetId, terms: MeteredTerms, parties: tuple[Value, ...], *, amount: int) -> Call:
        """Add to a deposit; ``parties`` are payer, signer and nonce."""
        value = amount if terms.currency == NATIVE else 0
        signature = f"topUp(bytes32,bytes32,{PARTIES},uint128)"
        return self._build(signature, asset, terms_hash(terms), parties, amount, value=value)

    def claim(self, groups: Sequence[tuple[AssetId, MeteredTerms, Sequence[VoucherRow]]]) -> Call:
        """Claim what vouchers are worth, a group for each offer; the caller is the payee of each."""
        values = tuple(
            (asset, terms.abi(), b"".join(row.packed() for row in rows)) for asset, terms, rows in groups
        )
        return self._build(f"claim({CLAIM}[])", values)

    def start_closing(self, asset: AssetId, terms: MeteredTerms, *, signer: Address, nonce: int) -> Call:
        """Begin to close; the caller is the payer."""
        signature = f"startClosing(bytes32,{METERED_TERMS},address,uint64)"
        return self._build(signature, asset, terms.abi(), signer, nonce)

    def close(self, asset: AssetId, terms: MeteredTerms, parties: tuple[Value, ...]) -> Call:
        """Close a channel: the payee at any time, anybody after its end."""
        return self._build(f"close(bytes32,{METERED_TERMS},{PARTIES})", asset, terms.abi(), parties)

    def _build(self, signature: str, *values: Value, value: int = 0) -> Call:
        name = f"{CHANNELS}.{signature[: signature.index('(')]}"
        return Call(self._at, call_data(signature, *values), value, name)


class ChannelViews:
    """Reads one contract Channels at one block.

    Every method raises ChainError if the endpoint fails, and VerificationError if the answer is not what the contract's ABI says.
    """

    def __init__(self, rpc: Rpc, channels: Address, *, block: BlockId = "latest") -> None:
        """Remember whom to ask about what."""
        self._rpc = rpc
        self._at = channels
        self.block = block

    def at(self, block: BlockId) -> ChannelViews:
        """Return the same contract at another block."""
        return ChannelViews(self._rpc, self._at, block=block)

    def channel(self, channel: ChannelId) -> StoredChannel:
        """Return what is stored about a channel."""
        return self._read(self._rpc.eth_call(self._at, call_data(_CHANNEL, channel), block=self.block))

    def channels(self, channels: Sequence[ChannelId]) -> list[StoredChannel]:
        """Return what is stored about many channels, in as few requests as endpoints take."""
        found, at = [], block_param(self.block)
        for start in range(0, len(channels), _BATCH):
            calls = [
                ("eth_call", ({"to": to_hex(self._at), "data": to_hex(call_data(_CHANNEL, channel))}, at))
                for channel in channels[start : start + _BATCH]
            ]
            for answer in self._rpc.batch(calls):
                found.append(self._read(read_data(answer, "result of eth_call")))
        return found

    def changed(self, *, first: int, last: int) -> set[ChannelId]:
        """Return the channels of which anything stored changed in some blocks, from their log."""
        found: set[ChannelId] = set()
        for log in self._rpc.get_logs([self._at], (CHANGED,), first=first, last=last):
            if log.topics[0] == CLAIMED:
                uses: Any = decode(TYPES[CLAIMED].types, log.data)[0]
                found.update(ChannelId(use[0]) for use in uses)
            else:
                found.add(ChannelId(log.topics[2]))
        return found

    def _read(self, data: bytes) -> StoredChannel:
        try:
            deposit, claimed, closes_at, state = decode(_STORED, data)
        except VerificationError as exc:
            raise VerificationError(f"0x{self._at.hex()} does not answer as {CHANNELS}") from exc
        assert isinstance(deposit, int) and isinstance(claimed, int) and isinstance(closes_at, int)
        if not isinstance(state, int) or state >= len(ChannelState):
            raise VerificationError("that is no state of a channel")
        return StoredChannel(deposit=deposit, claimed=claimed, closes_at=closes_at, state=ChannelState(state))
