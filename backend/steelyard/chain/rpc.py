"""A plain JSON-RPC reader: answers are checked, faults are retried a few times or become typed errors.

Why not web3 for reading: importing it takes 2 s, and it asks for the chain id around every call. Source:
Ethereum JSON-RPC specification; EIP-1898 for naming a block by its hash.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

from steelyard.chain.hexdata import quantity, read_data, read_quantity, to_hex
from steelyard.chain.transport import Answer, HttpTransport, TooLargeError, Transport, TransportFault
from steelyard.chain.wire import (
    AccountProof,
    Block,
    Log,
    Receipt,
    read_account_proof,
    read_block,
    read_list,
    read_log,
    read_receipt,
)
from steelyard.domain.jsontext import parse_json
from steelyard.domain.types import Address
from steelyard.errors import ChainError, InputError, NotFoundError, RpcError, WrongChainError

BlockId = int | bytes | str
"""A block: its height, its 32-byte hash, or a tag (``latest``, ``pending``, ``safe``, ``finalized``,
``earliest``)."""

Topics = Sequence[bytes | Sequence[bytes] | None]
"""A filter of logs: for each place one word, several of which one must match, or None for any."""

_TAGS = frozenset({"latest", "pending", "safe", "finalized", "earliest"})
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_LONGEST_WAIT = 10.0


class Rpc:
    """One endpoint of one chain. Safe to use from several threads; connections are kept."""

    def __init__(
        self,
        transport: Transport | str,
        *,
        chain_id: int,
        timeout: float = 20.0,
        attempts: int = 4,
        pause: float = 0.25,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Remember the endpoint; nothing is sent before the first call.

        Args:
            transport: a URL, or what carries the requests instead.
            chain_id: EIP-155 id that the endpoint must serve; asked once, before the first call.
            timeout: seconds for one answer; only for a URL.
            attempts: how often a call is tried at most, when nothing usable comes back.
            pause: seconds before the second try; doubled for each further one, with random parts.
            sleep: how to wait, for tests.

        Raises:
            ConfigError: the URL is malformed.
        """
        self._transport = (
            HttpTransport(transport, timeout=timeout) if isinstance(transport, str) else transport
        )
        self.chain_id = chain_id
        self._attempts = max(1, attempts)
        self._pause = pause
        self._sleep = sleep
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._chain_checked = False

    @property
    def name(self) -> str:
        """The endpoint, for messages."""
        return self._transport.name

    def close(self) -> None:
        """Give the connections back; the next call opens new ones."""
        self._transport.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the connections."""
        self.close()

    # -- calls -----------------------------------------------------------------------------------------------

    def call(
        self, method: str, params: Sequence[object] = (), *, parse: Callable[[bytes], Any] = parse_json
    ) -> Any:
        """Make one call and return its ``result``, parsed JSON.

        Repeats it after faults of the connection and of the server, so ``method`` must not mind: a raw
        transaction does not, being the same one each time.

        Raises:
            RpcError: the endpoint answered with an error.
            ChainError: no usable answer came, after all attempts.
            WrongChainError: the endpoint serves another chain.
        """
        self.check_chain()
        return self._call(method, params, parse)

    def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        """Make several read-only calls in one request; returns the results in the order of the calls.

        Raises:
            RpcError: one of them was answered with an error.
            ChainError: as in :meth:`call`.
        """
        if not calls:
            return []
        self.check_chain()
        requests = [self._request(method, params) for method, params in calls]
        wanted = {request["id"]: place for place, request in enumerate(requests)}
        for tried in itertools.count(1):
            try:
                answers = self._exchange(json.dumps(requests).encode())
                return self._match(answers, wanted, calls)
            except TransportFault as exc:
                self._wait(tried, exc)
        raise AssertionError("unreachable")

    def check_chain(self) -> None:
        """Ask for the chain id, once.

        Raises:
            WrongChainError: it is not the expected one.
        """
        if self._chain_checked:
            return
        with self._lock:
            if self._chain_checked:
                return
            found = read_quantity(self._call("eth_chainId", ()), "chain id")
            if found != self.chain_id:
                raise WrongChainError(
                    f"{self.name} serves chain {found}, not {self.chain_id}: check the RPC URL"
                )
            self._chain_checked = True

    # -- state -----------------------------------------------------------------------------------------------

    def eth_call(
        self,
        to: Address | None,
        data: bytes,
        *,
        block: BlockId = "latest",
        sender: Address | None = None,
        value: int = 0,
    ) -> bytes:
        """Run a call without a transaction and return what it returns.

        Args:
            to: contract; None for the code of a creation.
            data: call data.
            block: the state to run on.
            sender: who calls; the zero address if None.
            value: wei sent along.

        Raises:
            RevertError: the contract reverted; decoded.
            ChainError: as in :meth:`call`.
        """
        transaction: dict[str, str] = {"data": to_hex(data)}
        if to is not None:
            transaction["to"] = to_hex(to)
        if sender is not None:
            transaction["from"] = to_hex(sender)
        if value:
            transaction["value"] = quantity(value)
        try:
            return read_data(self.call("eth_call", (transaction, block_param(block))), "result of eth_call")
        except RpcError as exc:
            raise_revert(exc)
            raise

    def block_number(self) -> int:
        """Return the height of the newest block."""
        return read_quantity(self.call("eth_blockNumber"), "block number", bits=63)

    def get_block(self, block: BlockId) -> Block:
        """Return a block's header.

        Raises:
            NotFoundError: the endpoint has no such block.
            ChainError: as in :meth:`call`, or it answered with another block than the one asked for.
        """
        by_hash = isinstance(block, bytes)
        given = to_hex(block) if isinstance(block, bytes) else block_param(block)
        value = self.call("eth_getBlockByHash" if by_hash else "eth_getBlockByNumber", (given, False))
        if value is None and block == "latest":
            raise ChainError(f"{self.name} has no newest block: it is not ready, or no node")
        if value is None:
            raise NotFoundError(f"{self.name} has no block {given}")
        found = read_block(value)
        if (by_hash and found.hash != block) or (isinstance(block, int) and found.number != block):
            raise ChainError(f"{self.name} answered with another block than {given}")
        return found

    def get_code(self, address: Address, *, block: BlockId = "latest") -> bytes:
        """Return the code at an address; empty if there is none."""
        return read_data(self.call("eth_getCode", (to_hex(address), block_param(block))), "code")

    def get_balance(self, address: Address, *, block: BlockId = "latest") -> int:
        """Return an account's wei."""
        return read_quantity(self.call("eth_getBalance", (to_hex(address), block_param(block))), "balance")

    def get_nonce(self, address: Address, *, block: BlockId = "latest") -> int:
        """Return how many transactions an account has sent: the nonce of its next one."""
        params = (to_hex(address), block_param(block))
        return read_quantity(self.call("eth_getTransactionCount", params), "transaction count", bits=63)

    def get_storage(self, address: Address, slot: bytes, *, block: BlockId = "latest") -> bytes:
        """Return the 32-byte word in a storage slot (32 bytes)."""
        params = (to_hex(address), to_hex(slot), block_param(block))
        return read_data(self.call("eth_getStorageAt", params), "storage word", 32)

    def get_proof(self, address: Address, slots: Sequence[bytes], *, block: BlockId) -> AccountProof:
        """Return the proof of an account and of some of its 32-byte storage slots, in the order asked for.

        Nothing is verified: that is the auditor's work.

        Raises:
            ChainError: as in :meth:`call`, or it answered about something else.
        """
        params = (to_hex(address), [to_hex(slot) for slot in slots], block_param(block))
        proof = read_account_proof(self.call("eth_getProof", params))
        if proof.address != address or [item.key for item in proof.storage] != list(slots):
            raise ChainError(f"{self.name} answered with the proof of something else")
        return proof

    def get_receipt(self, tx_hash: bytes) -> Receipt | None:
        """Return the receipt of a transaction, or None as long as it is in no block.

        Raises:
            ChainError: as in :meth:`call`, or it answered about another transaction.
        """
        value = self.call("eth_getTransactionReceipt", (to_hex(tx_hash),))
        # Some nodes answer before the block is sealed, with a block hash of null.
        if value is None or (isinstance(value, dict) and value.get("blockHash") is None):
            return None
        receipt = read_receipt(value)
        if receipt.tx_hash != tx_hash:
            raise ChainError(f"{self.name} answered with the receipt of another transaction")
        return receipt

    def is_known(self, tx_hash: bytes) -> bool:
        """Return whether the endpoint has a transaction, in a block or waiting."""
        return self.call("eth_getTransactionByHash", (to_hex(tx_hash),)) is not None

    # -- logs ------------------------------------------------------------------------------------------------

    def get_logs(
        self, addresses: Sequence[Address], topics: Topics = (), *, first: int, last: int, span: int = 10_000
    ) -> list[Log]:
        """Return the logs of some contracts in blocks ``first`` to ``last``, both included, in chain order.

        See :meth:`iter_logs`.
        """
        chunks = self.iter_logs(addresses, topics, first=first, last=last, span=span)
        return [log for _, _, logs in chunks for log in logs]

    def iter_logs(
        self, addresses: Sequence[Address], topics: Topics = (), *, first: int, last: int, span: int = 10_000
    ) -> Iterator[tuple[int, int, list[Log]]]:
        """Yield ``(from, to, logs)`` over consecutive ranges that cover ``first`` to ``last`` without a gap.

        Asks for ``span`` blocks at a time, for fewer after the endpoint has refused a range, then for more
        again.

        Args:
            addresses: contracts; at least one, or a mistake would fetch the whole chain's logs.
            topics: filter, see :data:`Topics`.
            first: first block.
            last: last block.
            span: most blocks to ask for at once.

        Raises:
            InputError: no address is given.
            RpcError: the endpoint refuses even a single block.
            ChainError: as in :meth:`call`, or logs of another range or contract, doubled or out of order came
                back.
        """
        if not addresses:
            raise InputError("whose logs? no address was given")
        most = max(1, span)
        while first <= last:
            to = min(last, first + span - 1)
            try:
                logs = self._logs(addresses, topics, first, to)
            except (RpcError, TooLargeError):
                if to == first:
                    raise
                span = (to - first + 1) // 2
                continue
            yield first, to, logs
            first, span = to + 1, min(most, span * 2)

    def _logs(self, addresses: Sequence[Address], topics: Topics, first: int, last: int) -> list[Log]:
        query = {
            "address": [to_hex(address) for address in addresses],
            "topics": [_topic(choice) for choice in topics],
            "fromBlock": quantity(first),
            "toBlock": quantity(last),
        }
        logs = [read_log(item) for item in read_list(self.call("eth_getLogs", (query,)), "logs")]
        wanted = set(addresses)
        previous = (-1, -1)
        for log in logs:
            place = (log.block_number, log.log_index)
            if (
                place <= previous
                or not first <= log.block_number <= last
                or log.address not in wanted
                or log.removed
            ):
                raise ChainError(
                    f"{self.name} answered with logs that were not asked for, doubled or out of order"
                )
            previous = place
        return logs

    # -- one exchange ----------------------------------------------------------------------------------------

    def _request(self, method: str, params: Sequence[object]) -> dict[str, object]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}

    def _call(self, method: str, params: Sequence[object], parse: Callable[[bytes], Any] = parse_json) -> Any:
        for tried in itertools.count(1):
            request = self._request(method, params)
            try:
                answer = self._exchange(json.dumps(request).encode(), parse)
                return self._result(answer, request["id"], method)
            except TransportFault as exc:
                self._wait(tried, exc)
            except RpcError as exc:
                if not _is_rate_limit(exc):
                    raise
                self._wait(tried, exc)
        raise AssertionError("unreachable")

    def _exchange(self, body: bytes, parse: Callable[[bytes], Any] = parse_json) -> Any:
        answer = self._transport.exchange(body)
        if answer.status != 200:
            self._refuse(answer)
        try:
            return parse(answer.body)
        except ValueError as exc:
            raise TransportFault(f"{self.name} answered with something that is not JSON") from exc

    def _refuse(self, answer: Answer) -> None:
        if answer.status == 413:
            raise TooLargeError(f"{self.name} calls the request too large")
        if answer.status in _BUSY:
            fault = TransportFault(f"{self.name} answered with HTTP status {answer.status}")
            fault.retry_after = answer.retry_after
            raise fault
        # Some servers put a JSON-RPC error into a 400; its reason is worth more than the status.
        try:
            error = parse_json(answer.body)["error"]
        except (ValueError, TypeError, KeyError):
            error = None
        if isinstance(error, dict):
            raise self._error(error, "the call")
        hint = ": check the URL and its key" if answer.status in (401, 403, 404) else ""
        raise ChainError(f"{self.name} answered with HTTP status {answer.status}{hint}")

    def _result(self, answer: Any, wanted: object, method: str) -> Any:
        if not isinstance(answer, dict):
            raise TransportFault(f"{self.name} answered {method} with something that is no JSON-RPC answer")
        error = answer.get("error")
        if isinstance(error, dict) and answer.get("id") in (wanted, None):
            raise self._error(error, method)
        if answer.get("id") != wanted or isinstance(answer.get("id"), bool) or "result" not in answer:
            raise TransportFault(f"{self.name} answered {method} with the answer to something else")
        return answer["result"]

    def _match(
        self, answers: Any, wanted: dict[object, int], calls: Sequence[tuple[str, Sequence[object]]]
    ) -> list[Any]:
        if isinstance(answers, dict):
            answers = [answers]
        if not isinstance(answers, list):
            raise TransportFault(f"{self.name} answered a batch with something else")
        results: dict[int, Any] = {}
        for answer in answers:
            given = answer.get("id") if isinstance(answer, dict) else None
            place = wanted.get(given) if isinstance(given, int) else None
            if place is None or place in results:
                if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
                    raise self._error(answer["error"], "a batch")
                raise TransportFault(f"{self.name} answered a batch with the answer to something else")
            results[place] = self._result(answer, given, calls[place][0])
        if len(results) != len(calls):
            raise TransportFault(f"{self.name} answered only {len(results)} of {len(calls)} calls")
        return [results[place] for place in range(len(calls))]

    def _error(self, error: dict[str, Any], method: str) -> RpcError:
        code = error.get("code")
        reason = str(error.get("message", ""))[:300]
        number = code if isinstance(code, int) else 0
        message = f"{self.name} refused {method}: {reason or 'no reason given'} (code {number})"
        return RpcError(message, code=number, reason=reason, data=error.get("data"))

    def _wait(self, tried: int, exc: ChainError) -> None:
        if tried >= self._attempts:
            raise exc
        asked = getattr(exc, "retry_after", None)
        # Random parts, so that many clients that failed together do not come back together.
        pause = self._pause * 2 ** (tried - 1) * random.uniform(0.5, 1.5)  # not for a secret
        self._sleep(min(_LONGEST_WAIT, max(pause, asked or 0.0)))


def block_param(block: BlockId) -> object:
    """Return a block as a JSON-RPC parameter (EIP-1898 for a hash).

    Raises:
        InputError: it is no block.
    """
    if isinstance(block, int):
        return quantity(block)
    if isinstance(block, bytes):
        if len(block) != 32:
            raise InputError(f"a block hash has 32 bytes, not {len(block)}")
        return {"blockHash": to_hex(block)}
    if block not in _TAGS:
        raise InputError(f"{block!r} is no block: a number, a hash, or one of {', '.join(sorted(_TAGS))}")
    return block


def raise_revert(exc: RpcError) -> None:
    """Raise the decoded error if ``exc`` says that a contract reverted; otherwise return.

    Raises:
        RevertError: it does.
    """
    data = exc.data
    if isinstance(data, dict):
        data = data.get("data")
    reason = exc.reason.lower()
    found = b""
    if isinstance(data, str):
        # Parity and its heirs write "Reverted 0x...".
        text = data.removeprefix("Reverted ")
        try:
            found = bytes.fromhex(text[2:]) if text.startswith("0x") else b""
        except ValueError:
            found = b""
    if exc.code == 3 or "revert" in reason or (found and "vm execution" in reason):
        # Imported here: decoding needs the ABIs, and reading does not.
        from steelyard.chain.reverts import decode_revert

        raise decode_revert(found, reason=exc.reason) from exc


def _topic(choice: bytes | Sequence[bytes] | None) -> object:
    if choice is None:
        return None
    return to_hex(choice) if isinstance(choice, bytes) else [to_hex(word) for word in choice]


def _is_rate_limit(exc: RpcError) -> bool:
    reason = exc.reason.lower()
    return exc.code == 429 or any(
        text in reason for text in ("rate limit", "too many requests", "request limit")
    )
