"""Signs and sends transactions.

Requests go through :class:`steelyard.chain.rpc.Rpc`, so every fault is handled there, once. The account is opened at the first
signature (:mod:`steelyard.chain.wallet`), for that imports web3.

No transaction is ever sent under two nonces: what is signed under a nonce is sent again, byte for byte, until the chain shows
what became of it, or shows that its nonce was used by something else.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

from steelyard.chain.calls import Call
from steelyard.chain.hexdata import quantity, read_quantity, to_hex
from steelyard.chain.refusals import NonceUsedError, is_known_already, pending, raise_if_poor, refusal
from steelyard.chain.rpc import Rpc, raise_revert
from steelyard.chain.transaction import (
    GWEI,
    Estimate,
    Fees,
    Signed,
    encode_fee_market,
    fee_market_fields,
    gas_limit_of,
)
from steelyard.chain.wallet import open_account
from steelyard.chain.wire import Receipt, read_receipt
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address
from steelyard.errors import (
    ChainError,
    NotFoundError,
    PendingError,
    RefusedError,
    RevertError,
    RpcError,
    SteelyardError,
)

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from eth_typing import Hash32
    from web3 import Web3

# Wei per gas, added at random to what is offered at most (not to what is paid): two transactions that mean the same are never the
# same bytes, so an endpoint that knows one already, or a nonce that is used, cannot be taken for the success of another.
_SALT = 1 << 24
_WORKERS = 8
_WINDOW = 48  # geth holds at most 64 waiting transactions of an account


class Sender:
    """Sends transactions of one account. Safe to use from several threads; one process for an account."""

    def __init__(
        self,
        rpc: Rpc,
        key: Callable[[], bytes],
        *,
        max_fee: int = 500 * GWEI,
        max_priority: int = 10 * GWEI,
        timeout: float = 180.0,
        poll: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Remember how; neither web3 is imported nor the key asked for yet.

        Args:
            rpc: endpoint.
            key: returns the account's private key, 32 bytes; asked once, at the first use.
            max_fee: wei per gas that is never exceeded; RefusedError while the chain asks for more.
            max_priority: wei per gas for the block's maker that is never exceeded.
            timeout: seconds to wait for a receipt.
            poll: seconds between two looks for a receipt, at most.
            clock: seconds that never go back, for tests.
            sleep: how to wait, for tests.
        """
        self.rpc = rpc
        self._key = key
        self._max_fee = max_fee
        self._max_priority = max_priority
        self._timeout = timeout
        self._poll = poll
        self._clock = clock
        self._sleep = sleep
        self._setup = threading.Lock()
        self._account_made: tuple[Web3, LocalAccount] | None = None
        self._nonces = threading.RLock()
        self._next: int | None = None
        self._floor = 0
        self._uncertain: list[Signed] = []

    @property
    def address(self) -> Address:
        """The account."""
        return Address(bytes.fromhex(self._open()[1].address[2:]))

    # -- costs -----------------------------------------------------------------------------------------------

    def simulate(self, call: Call) -> bytes:
        """Run a call without sending it; returns what it returns.

        Raises:
            RevertError: it would revert.
            ChainError: the endpoint failed.
        """
        try:
            return self._simulate(call, "pending")
        except RpcError:
            return self._simulate(call, "latest")

    def estimate(self, call: Call) -> Estimate:
        """Return what a call would cost now; nothing is signed or sent.

        Raises:
            RevertError: it would revert.
            RefusedError: it needs more gas than a transaction may have, or fees are above the limit.
            ChainError: the endpoint failed.
        """
        gas = self._estimate_gas(call)
        fees, base_fee = self._fees()
        return Estimate(gas=gas, gas_limit=gas_limit_of(gas, call), fees=fees, base_fee=base_fee)

    def fees(self) -> Fees:
        """Return the fees to offer now.

        Raises:
            RefusedError: the chain asks for more than the limit.
            ChainError: the endpoint failed, or the chain has no EIP-1559 fees.
        """
        return self._fees()[0]

    def check_fees(self, fees: Fees) -> None:
        """Check that fees are within the limit.

        Raises:
            RefusedError: they are above it.
        """
        if fees.max_fee > self._max_fee:
            raise RefusedError(
                f"fees of {fees.max_fee / GWEI:.3g} gwei are above the limit of {self._max_fee / GWEI:.3g}"
            )

    # -- sending ---------------------------------------------------------------------------------------------

    def send(self, call: Call, *, gas: int | None = None) -> Receipt:
        """Simulate, sign, send, and wait until it is in a block.

        Args:
            call: what to do.
            gas: gas limit; estimated with a margin if None.

        Returns:
            The receipt; its status is always True.

        Raises:
            RevertError: it would revert, and nothing was sent; or it did revert, and the message has its hash.
            RefusedError: fees, gas or funds do not allow it; nothing was sent.
            PendingError: it was or may have been sent, and is in no block yet. It must not be sent anew: look for its receipt.
            ChainError: the endpoint failed before anything was sent.
        """
        if gas is None:
            gas = gas_limit_of(self._estimate_gas(call), call)
        else:
            self.simulate(call)
        signed = self._submit(call, gas)
        return self.finish(call, self.wait(signed))

    def send_many(self, calls: Sequence[Call], *, gas: int | None = None) -> list[Receipt]:
        """Send many calls under consecutive nonces without waiting for each; returns the receipts in their order.

        A call that reverts in its block has a receipt of status False. Nothing is simulated if ``gas`` is given.

        Args:
            calls: what to do, in this order.
            gas: gas limit of every call; estimated for each, on the state before the first, if None.

        Raises:
            RevertError: one would revert; nothing was sent.
            RefusedError: fees, gas or funds do not allow it.
            PendingError: some were sent, and are in no block yet.
            ChainError: the endpoint failed; what was sent before is waited for first.
        """
        if not calls:
            return []
        with ThreadPoolExecutor(_WORKERS) as pool:
            if gas is None:
                limits = list(pool.map(lambda call: gas_limit_of(self._estimate_gas(call), call), calls))
            else:
                limits = [gas] * len(calls)
            fees = self.fees()
            receipts: list[Receipt] = []
            signed: list[Signed] = []
            with self._nonces:
                for first in range(0, len(calls), _WINDOW):
                    part = list(
                        zip(calls[first : first + _WINDOW], limits[first : first + _WINDOW], strict=True)
                    )
                    signed, previous = self._submit_part(pool, part, fees), signed
                    receipts += self._wait_all(previous)
            return receipts + self._wait_all(signed)

    def sign(self, call: Call, *, nonce: int, gas_limit: int, fees: Fees) -> Signed:
        """Sign a call; nothing is sent.

        Args:
            call: what to do.
            nonce: from :meth:`nonce`, or of the transaction to replace.
            gas_limit: gas.
            fees: from :meth:`fees`.
        """
        _, account = self._open()
        fields = fee_market_fields(
            call, chain_id=self.rpc.chain_id, nonce=nonce, gas_limit=gas_limit, fees=fees
        )
        made = account.unsafe_sign_hash(cast("Hash32", keccak256(encode_fee_market(fields))))
        raw = encode_fee_market(fields, (made.v - 27, made.r, made.s))
        return Signed(raw=raw, tx_hash=keccak256(raw), nonce=nonce, fees=fees, gas_limit=gas_limit)

    @contextmanager
    def nonce(self) -> Iterator[int]:
        """Hold the account's next nonce: it counts as used if the block ends without an error.

        Other threads wait meanwhile, so sign and store inside, and wait for receipts outside.

        Raises:
            PendingError: an earlier transaction may have been sent, and its fate is not known yet.
            ChainError: the endpoint failed.
        """
        with self._nonces:
            self._settle_uncertain()
            if self._next is None:
                self._next = max(self.rpc.get_nonce(self.address, block="pending"), self._floor)
            yield self._next
            self._next += 1

    def keep_nonces_from(self, floor: int) -> None:
        """Give out no nonce below ``floor``: those are taken by transactions signed and stored elsewhere."""
        with self._nonces:
            self._floor = max(self._floor, floor)
            if self._next is not None:
                self._next = max(self._next, self._floor)

    def forget_nonce(self) -> None:
        """Ask the endpoint for the next nonce anew."""
        with self._nonces:
            self._next = None

    def broadcast(self, signed: Signed) -> None:
        """Send a signed transaction; sending it again does no harm.

        Raises:
            NonceUsedError: its nonce is another transaction's.
            RefusedError: the account cannot pay, or the fees are too low for the endpoint.
            PendingError: no answer says whether it arrived.
        """
        try:
            self.rpc.call("eth_sendRawTransaction", (to_hex(signed.raw),))
        except RpcError as exc:
            if is_known_already(exc) or self._is_known(signed, exc):
                return
            raise refusal(signed, self.address, exc) from exc
        except ChainError as exc:
            # The answer may have got lost, not the transaction.
            if not self._is_known(signed, exc):
                raise pending(signed, exc) from exc

    def wait(self, signed: Signed) -> Receipt:
        """Wait for the receipt of a sent transaction, sending it again if the endpoint has lost it.

        Raises:
            PendingError: it is in no block after the timeout.
            NonceUsedError: another transaction has taken its nonce.
        """
        end = self._clock() + self._timeout
        pause = min(0.02, self._poll)
        looks = 0
        while True:
            looks += 1
            try:
                receipt = self.rpc.get_receipt(signed.tx_hash)
                if receipt is not None:
                    return receipt
                # Not at every look: a node that has it answers nothing new.
                if looks % 16 == 0 and not self.rpc.is_known(signed.tx_hash):
                    self.broadcast(signed)
            except NonceUsedError:
                receipt = self.rpc.get_receipt(signed.tx_hash)
                if receipt is not None:
                    return receipt
                raise
            except ChainError:
                pass  # the endpoint is away for a while; the timeout ends it
            if self._clock() >= end:
                self._remember(signed)
                raise PendingError(
                    f"transaction {to_hex(signed.tx_hash)} is in no block after {self._timeout:g} s; look for it again later",
                    tx_hash=signed.tx_hash,
                )
            self._sleep(pause)
            pause = min(self._poll, pause * 1.5)

    def pursue(self, tx_hash: bytes) -> Receipt:
        """Go on with what ended in PendingError: send the same bytes again if the endpoint lacks them, and wait.

        Args:
            tx_hash: of the error.

        Returns:
            The receipt, of success or not.

        Raises:
            PendingError: it is still in no block.
            NonceUsedError: another transaction has taken its nonce; this one will never be mined.
            RefusedError: the endpoint refuses it and does not have it.
            NotFoundError: this object did not send it, and the chain does not have it.
        """
        with self._nonces:
            mine = [signed for signed in self._uncertain if signed.tx_hash == tx_hash]
        if not mine:
            receipt = self.rpc.get_receipt(tx_hash)
            if receipt is None:
                raise NotFoundError(
                    f"transaction {to_hex(tx_hash)} is in no block, and was not sent from here"
                )
            return receipt
        self.broadcast(mine[0])
        receipt = self.wait(mine[0])
        with self._nonces:
            self._uncertain = [signed for signed in self._uncertain if signed.tx_hash != tx_hash]
        return receipt

    def finish(self, call: Call, receipt: Receipt) -> Receipt:
        """Return a receipt of success.

        Raises:
            RevertError: the transaction reverted; says why, as far as a second look tells.
        """
        if receipt.status:
            return receipt
        where = f"transaction {to_hex(receipt.tx_hash)} reverted in block {receipt.block_number}"
        try:
            self.rpc.eth_call(
                call.to, call.data, block=receipt.block_number - 1, sender=self.address, value=call.value
            )
        except RevertError as exc:
            raise RevertError(f"{where}: {exc}", name=exc.name, args_=exc.args_) from exc
        except ChainError:
            pass
        raise RevertError(f"{where}; the state before that block does not say why")

    # -- parts -----------------------------------------------------------------------------------------------

    def _submit(self, call: Call, gas: int) -> Signed:
        fees = self.fees()
        for _ in range(8):
            with self._nonces:
                with self.nonce() as nonce:
                    signed = self.sign(call, nonce=nonce, gas_limit=gas, fees=fees)
                    # An error leaves the nonce free; only an uncertain one must keep it.
                    try:
                        self.broadcast(signed)
                        return signed
                    except NonceUsedError:
                        pass  # never mined and never will be, so the same call may be signed anew
                    except PendingError:
                        self._remember(signed)
                        raise
                # Only the endpoint's own count moves on: the next number, taken because a nonce is said to be used, would
                # leave a gap if that was false, and what lies behind a gap runs later, when nobody expects it any more.
                self._next = None
                moved = self.rpc.get_nonce(self.address, block="pending") > nonce
            if not moved:
                self._sleep(self._poll)  # the same bytes again
        raise ChainError(
            f"{self.rpc.name} keeps saying that the account's nonces are used: use an account of its own for this process, "
            "or another endpoint"
        )

    def _remember(self, signed: Signed) -> None:
        """Keep what may have been sent, so that its nonce goes to nothing else."""
        with self._nonces:
            if signed not in self._uncertain:
                self._uncertain.append(signed)

    def _settle_uncertain(self) -> None:
        """Send what may not have arrived again; without that, its nonce could go to another transaction."""
        while self._uncertain:
            with suppress(RefusedError):  # not accepted and not known, so it holds no nonce
                self.broadcast(self._uncertain[0])
            self._uncertain.pop(0)
            self._next = None

    def _submit_part(
        self, pool: ThreadPoolExecutor, part: Sequence[tuple[Call, int]], fees: Fees
    ) -> list[Signed]:
        signed: list[Signed] = []
        sent = []
        for call, gas in part:
            with self.nonce() as nonce:
                signed.append(self.sign(call, nonce=nonce, gas_limit=gas, fees=fees))
            sent.append(pool.submit(self.broadcast, signed[-1]))
        failures = [
            (place, exc) for place, future in enumerate(sent) if (exc := future.exception()) is not None
        ]
        if not failures:
            return signed
        # What did not arrive leaves a gap that holds up all later ones: send it again, in order, once.
        for place, _ in failures:
            try:
                self.broadcast(signed[place])
            except SteelyardError as exc:
                # Later ones may lie in the node and run once the gap is filled, so none of this is over.
                self._uncertain += signed[place:]
                raise pending(signed[place], exc) from exc
        return signed

    def _wait_all(self, signed: Sequence[Signed]) -> list[Receipt]:
        if not signed:
            return []
        # The last is mined after all others, so waiting for it waits for all.
        last = self.wait(signed[-1])
        asked = [("eth_getTransactionReceipt", (to_hex(item.tx_hash),)) for item in signed[:-1]]
        receipts = []
        for item, answer in zip(signed, self.rpc.batch(asked), strict=False):
            receipt = read_receipt(answer) if isinstance(answer, dict) else self.wait(item)
            if receipt.tx_hash != item.tx_hash:
                raise ChainError(f"{self.rpc.name} answered with the receipt of another transaction")
            receipts.append(receipt)
        return [*receipts, last]

    def _simulate(self, call: Call, block: str) -> bytes:
        return self.rpc.eth_call(call.to, call.data, block=block, sender=self.address, value=call.value)

    def _estimate_gas(self, call: Call) -> int:
        transaction = {"from": to_hex(self.address), "data": to_hex(call.data)}
        if call.to is not None:
            transaction["to"] = to_hex(call.to)
        if call.value:
            transaction["value"] = quantity(call.value)
        try:
            return self._gas(transaction, "pending")
        except RpcError as exc:
            raise_if_poor(exc, self.address)
            # Some endpoints give the reason of a revert only for eth_call.
            self.simulate(call)
            return self._gas(transaction, "latest")

    def _gas(self, transaction: dict[str, str], block: str) -> int:
        try:
            return read_quantity(self.rpc.call("eth_estimateGas", (transaction, block)), "gas estimate")
        except RpcError as exc:
            if exc.data:
                raise_revert(exc)
            raise

    def _fees(self) -> tuple[Fees, int]:
        base_fee = self.rpc.get_block("latest").base_fee
        if base_fee is None:
            raise ChainError(
                f"{self.rpc.name} serves a chain without EIP-1559 fees, which this client does not know"
            )
        try:
            asked = read_quantity(self.rpc.call("eth_maxPriorityFeePerGas"), "priority fee")
        except RpcError:
            asked = GWEI
        priority = min(asked, self._max_priority, self._max_fee)
        most = self._max_fee - _SALT
        if base_fee + priority > most:
            raise RefusedError(
                f"gas costs {base_fee / GWEI:.3g} gwei now, above the limit of {self._max_fee / GWEI:.3g}: "
                "wait, or raise the limit"
            )
        # Twice the base fee stays valid for six full blocks (each raises it by 1/8 at most).
        max_fee = min(2 * base_fee + priority, most) + secrets.randbelow(_SALT)
        return Fees(max_fee=max_fee, priority=priority), base_fee

    def _is_known(self, signed: Signed, cause: ChainError) -> bool:
        """Ask whether the endpoint has a transaction; without an answer nothing may be concluded."""
        try:
            return self.rpc.is_known(signed.tx_hash)
        except ChainError as exc:
            raise pending(signed, cause) from exc

    def _open(self) -> tuple[Web3, LocalAccount]:
        with self._setup:
            if self._account_made is None:
                self._account_made = open_account(self.rpc, self._key)
            return self._account_made
