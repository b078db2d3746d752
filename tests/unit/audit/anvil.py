"""An anvil of the test's own, and the little that is needed to use contracts on it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from steelyard.domain.abi import Value, encode, selector

ROOT = Path(__file__).resolve().parents[3]


def find() -> str | None:
    """Return the path of anvil: the checkout's, else what PATH offers."""
    places = [
        ROOT / "build" / "bin" / "anvil",
        *(ROOT / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil"),
    ]
    return next((str(place) for place in places if place.is_file()), shutil.which("anvil"))


class Anvil:
    """A node with unlocked accounts."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.account: str = ""

    def call(self, method: str, params: Sequence[object], /) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}).encode()
        request = urllib.request.Request(self._url, body, {"content-type": "application/json"})
        with self._opener.open(request, timeout=20) as answer:
            value = json.loads(answer.read())
        if "error" in value:
            raise AssertionError(f"{method}: {value['error']}")
        return value["result"]

    def send(self, data: bytes, *, to: bytes | None = None, value: int = 0) -> str:
        """Send a transaction and return its hash."""
        sent = {"from": self.account, "data": "0x" + data.hex(), "value": hex(value), "gas": hex(12_000_000)}
        if to is not None:
            sent["to"] = "0x" + to.hex()
        return str(self.call("eth_sendTransaction", [sent]))

    def receipt(self, tx: str) -> dict[str, Any]:
        """Return the receipt of a transaction that succeeded; anvil mines a moment after it answers."""
        for _ in range(500):
            receipt: dict[str, Any] | None = self.call("eth_getTransactionReceipt", [tx])
            if receipt is not None:
                assert receipt["status"] == "0x1", receipt
                return receipt
            time.sleep(0.01)
        raise AssertionError(f"{tx} was not mined")

    def deploy(self, record: Any, types: Sequence[str] = (), values: Sequence[Value] = ()) -> bytes:
        receipt = self.receipt(self.send(bytes.fromhex(record["bytecode"][2:]) + encode(types, values)))
        return bytes.fromhex(receipt["contractAddress"][2:])

    def use(
        self,
        to: bytes,
        name: str,
        types: Sequence[str],
        values: Sequence[Value],
        *,
        value: int = 0,
        wait: bool = True,
    ) -> None:
        """Call a function in a transaction; ``wait`` until it is mined."""
        tx = self.send(selector(f"{name}({','.join(types)})") + encode(types, values), to=to, value=value)
        if wait:
            self.receipt(tx)


@contextmanager
def running(*options: str) -> Iterator[Anvil]:
    """Run anvil on a free port of the loopback interface."""
    command = [str(find()), "--host", "127.0.0.1", "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            port = next(
                (
                    m[1]
                    for line in process.stdout
                    if (m := re.search(r"Listening on 127\.0\.0\.1:(\d+)", line))
                ),
                None,
            )
            assert port, "anvil did not start"
            node = Anvil(int(port))
            node.account = node.call("eth_accounts", [])[0]
            yield node
        finally:
            process.kill()
