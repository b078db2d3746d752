"""A load generator in a process of its own: some kept connections, each with one request under way.

``python -m bench.load PORT PATHS CLIENTS REQUESTS`` asks for the paths in the file PATHS in turn and prints what it took as JSON. It
counts an answer that is not a 200 as a failure.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import uvloop

from bench.cores import LOAD, pin


@dataclass(frozen=True)
class Load:
    """What it took.

    Attributes:
        requests: how many were answered.
        seconds: from the first to the last.
        p50: seconds of the median request.
        p99: seconds within which 99 of 100 were answered.
        cpu: processor time of the generator.
        failed: answers that were no 200.
        size: bytes of all bodies.
    """

    requests: int
    seconds: float
    p50: float
    p99: float
    cpu: float
    failed: int
    size: int


def load(root: Path, *, port: int, paths: Path, clients: int, requests: int) -> Load:
    """Run the generator.

    Args:
        root: the checkout.
        port: of the server on 127.0.0.1.
        paths: file with one path a line.
        clients: connections.
        requests: of all of them together.
    """
    command = [sys.executable, "-m", "bench.load", str(port), str(paths), str(clients), str(requests)]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True, timeout=1200)
    return Load(**json.loads(done.stdout))


class _Run:
    def __init__(self, requests: list[bytes], wanted: int) -> None:
        self.requests = requests
        self.wanted = wanted
        self.sent = 0
        self.failed = 0
        self.size = 0
        self.times: list[float] = []
        self.done = asyncio.get_running_loop().create_future()

    def following(self) -> bytes | None:
        if self.sent >= self.wanted:
            return None
        self.sent += 1
        return self.requests[self.sent % len(self.requests)]

    def answered(self, seconds: float, ok: bool, size: int) -> None:
        self.times.append(seconds)
        self.failed += not ok
        self.size += size
        if len(self.times) >= self.wanted and not self.done.done():
            self.done.set_result(None)


class _Client(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._got = b""
        self._need = 0
        self._head = 0
        self._begun = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def _ask(self) -> None:
        request = self._run.following()
        self._got, self._need = b"", 0
        if request is not None:
            self._begun = time.perf_counter()
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._got = self._got + data if self._got else data
        if not self._need:
            end = self._got.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._got[:end].lower()
            self._head = end + 4
            self._need = self._head + int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self._got) >= self._need:
            ok = self._got[9:12] == b"200"
            self._run.answered(time.perf_counter() - self._begun, ok, self._need - self._head)
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._run.done.done():
            self._run.done.set_exception(exc or ConnectionResetError("the server closed a connection"))


async def _main(port: int, paths: Path, clients: int, wanted: int) -> Load:
    requests = [
        f"GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n".encode()
        for path in paths.read_text("ascii").splitlines()
    ]
    loop = asyncio.get_running_loop()
    run = _Run(requests, wanted)
    cpu, begun = time.process_time(), time.perf_counter()
    for _ in range(min(clients, wanted)):
        await loop.create_connection(lambda: _Client(run), "127.0.0.1", port)
    await run.done
    seconds = time.perf_counter() - begun
    times = sorted(run.times)
    return Load(
        requests=len(times),
        seconds=seconds,
        p50=times[len(times) // 2],
        p99=times[len(times) * 99 // 100],
        cpu=time.process_time() - cpu,
        failed=run.failed,
        size=run.size,
    )


if __name__ == "__main__":
    pin(LOAD)
    port, paths, clients, wanted = sys.argv[1:]
    outcome = uvloop.run(_main(int(port), Path(paths), int(clients), int(wanted)))
    print(json.dumps(outcome.__dict__))
