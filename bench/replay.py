"""A JSON-RPC endpoint that serves a chain from disk (:mod:`bench.chainfile`) and does almost nothing else.

Logs are sent as they lie in the file. What it cannot know is refused: there is no state but the heads at the last block.
``python -m bench.replay FOLDER`` prints its port on 127.0.0.1 and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.chainfile import BlockRecord, ChainFile, read_heads
from steelyard.domain.abi import selector
from steelyard.domain.events import TYPES

_HEAD: Final = "0x" + selector("head(bytes32)").hex()
_TRAILS: Final = {"0x" + topic.hex() for topic in TYPES}
_MOST: Final = 1 << 20


class _Refused(Exception):
    """The question has no answer here; the message is sent."""


class Answers:
    """What the endpoint answers."""

    def __init__(self, folder: Path) -> None:
        """Open the chain."""
        self.chain = ChainFile(folder)
        self._numbers = self.chain.numbers()
        self._heads = {
            ("0x" + contract.hex(), subject.hex()): "0x" + head.hex()
            for contract, subject, head in read_heads(folder)
        }
        self._contracts = {contract for contract, _ in self._heads}
        self.requests = 0
        self.sent = 0
        self._methods: Mapping[str, Callable[[Any], object]] = {
            "eth_chainId": lambda params: hex(self.chain.notes["chain_id"]),
            "eth_blockNumber": lambda params: hex(self.chain.size - 1),
            "eth_getBlockByNumber": lambda params: self._header(self.chain.block(self._height(params[0]))),
            "eth_getBlockByHash": lambda params: self._header(self._by_hash(params[0])),
            "eth_getCode": lambda params: "0x00" if params[0].lower() in self._contracts else "0x",
            "eth_call": self._call,
            "bench_usage": lambda params: {
                "cpu": time.process_time(),
                "requests": self.requests,
                "sent": self.sent,
            },
        }

    def answer(self, body: bytes) -> list[bytes | memoryview]:
        """Return the parts of the answer to a body."""
        asked = json.loads(body)
        self.requests += 1
        if isinstance(asked, dict) and asked.get("method") == "eth_getLogs":
            try:
                parts = [
                    b'{"jsonrpc":"2.0","id":%d,"result":[' % asked["id"],
                    self._logs(asked["params"][0]),
                    b"]}",
                ]
            except _Refused as exc:
                parts = [_refusal(asked["id"], str(exc))]
        elif isinstance(asked, list):
            parts = [b"[" + b",".join(map(self._one, asked)) + b"]"]
        else:
            parts = [self._one(asked)]
        self.sent += sum(map(len, parts))
        return parts

    def _one(self, asked: Mapping[str, Any]) -> bytes:
        try:
            result = self._methods[asked["method"]](asked["params"])
        except KeyError:
            return _refusal(asked["id"], f"no method {asked['method']}")
        except _Refused as exc:
            return _refusal(asked["id"], str(exc))
        return json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}).encode()

    def _height(self, block: object) -> int:
        if block == "earliest":
            return 0
        return int(block, 16) if isinstance(block, str) and block[:2] == "0x" else self.chain.size - 1

    def _by_hash(self, text: str) -> BlockRecord | None:
        return self.chain.block(self._numbers.get(bytes.fromhex(text[2:]), -1))

    def _header(self, block: BlockRecord | None) -> object:
        return None if block is None else {**block.fields(), "transactions": [], "uncles": []}

    def _call(self, params: Any) -> object:
        call, block = params
        at = (
            self._by_hash(block["blockHash"])
            if isinstance(block, dict)
            else self.chain.block(self._height(block))
        )
        if at is None or at.number != self.chain.size - 1:
            raise _Refused("there is no state but that of the last block")
        data = call.get("data") or call.get("input")
        if data[:10] != _HEAD:
            raise _Refused("only head(bytes32) can be called")
        return self._heads.get((call["to"].lower(), data[10:]), "0x" + bytes(32).hex())

    def _logs(self, asked: Mapping[str, Any]) -> bytes | memoryview:
        if "blockHash" in asked:
            block = self._by_hash(asked["blockHash"])
            if block is None:
                raise _Refused("unknown block")
            first = last = block.number
        else:
            first, last = self._height(asked.get("fromBlock")), self._height(asked.get("toBlock"))
        if last - first >= _MOST:
            raise _Refused("the range is too large")
        found = self.chain.logs(first, last)
        given = asked.get("address", [])
        wanted = {address.lower() for address in ([given] if isinstance(given, str) else given)}
        topics = [
            {choice} if isinstance(choice, str) else set(choice or ()) for choice in asked.get("topics", ())
        ]
        if (not wanted or wanted >= self._contracts) and (
            not topics or (topics[0] >= _TRAILS or not topics[0]) and not any(topics[1:])
        ):
            return found
        logs = [
            log
            for log in json.loads(b"[" + bytes(found) + b"]")
            if (not wanted or log["address"] in wanted)
            and all(not choice or word in choice for choice, word in zip(topics, log["topics"], strict=False))
        ]
        return json.dumps(logs).encode()[1:-1]


def _refusal(number: object, why: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "error": {"code": -32000, "message": why}}).encode()


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as our own clients speak it: POST, Content-Length, kept open."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._data = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        assert self._transport is not None
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._data[:end]).lower()
            place = head.find(b"content-length:")
            length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            stop = end + 4 + length
            if len(self._data) < stop:
                return
            body = bytes(self._data[end + 4 : stop])
            del self._data[:stop]
            parts = self._answers.answer(body)
            size = sum(map(len, parts))
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % size
            )
            for part in parts:
                self._transport.write(part)


async def _serve(folder: Path) -> None:
    loop = asyncio.get_running_loop()
    answers = Answers(folder)
    server = await loop.create_server(lambda: _Connection(answers), "127.0.0.1", 0)
    ended = asyncio.Event()

    def wait() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait, daemon=True).start()
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()


@dataclass(frozen=True)
class Replay:
    """A running endpoint."""

    url: str
    process: subprocess.Popen[str]

    def usage(self) -> Mapping[str, float]:
        """Return its processor seconds (``cpu``), ``requests`` and bytes ``sent`` so far."""
        from urllib.request import Request, urlopen

        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "bench_usage", "params": []}).encode()
        with urlopen(Request(self.url, body), timeout=30) as answer:
            found: Mapping[str, float] = json.loads(answer.read())["result"]
        return found


@contextmanager
def replaying(root: Path, folder: Path) -> Iterator[Replay]:
    """Serve a chain from a process of its own.

    Args:
        root: the checkout.
        folder: of the chain.
    """
    command = [sys.executable, "-m", "bench.replay", str(folder)]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield Replay(f"http://127.0.0.1:{int(process.stdout.readline())}", process)
        finally:
            process.stdin.close()
            process.wait(30)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
