"""A trustless IPFS gateway as a store to read from: block by block, each hashed here.

Whoever runs the gateway can withhold a block, and nothing else. Answers are read with a limit on their bytes and on
their time, without decompression, redirects or proxies.

Source: specs.ipfs.tech/http-gateways/trustless-gateway.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from steelyard.errors import ConfigError, NotFoundError, RefusedError, StoreError
from steelyard.storage.base import Store
from steelyard.storage.cid import CID

if TYPE_CHECKING:
    import urllib3

CONNECT_SECONDS = 10.0
"""Longest wait for a connection."""

REQUESTS = 8
"""Requests under way at a time, by who needs many blocks: each waits for its answer, and holds a block."""

PROBE = "bafkqaaa"
"""The empty block whose identifier holds it; every trustless gateway answers it."""

_RAW = "application/vnd.ipld.raw"
_ABSENT = frozenset((404, 410, 412, 451))
_PIECE = 1 << 16


class GatewayStore(Store):
    """A read-only store behind a trustless gateway."""

    at_once = REQUESTS

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        """Remember the gateway; nothing is sent yet.

        Args:
            url: ``http://`` or ``https://``, host, optionally port and a path in front of ``/ipfs/``.
            timeout: seconds for a whole answer.

        Raises:
            ConfigError: the URL is malformed.
        """
        self._url, self._name = _parse(url)
        self._timeout = timeout
        self._pool: urllib3.PoolManager | None = None

    @property
    def name(self) -> str:
        """The gateway, for messages."""
        return self._name

    def close(self) -> None:
        """Close the connections of all threads."""
        if self._pool is not None:
            self._pool.clear()

    def probe(self) -> None:
        """Ask whether there is a trustless gateway.

        Raises:
            StoreError: there is none, or it does not answer.
        """
        status, body = self._ask("GET", PROBE, 1)
        if status != 200 or body:
            raise StoreError(f"{self._name} does not answer as a trustless gateway (status {status})")

    # -- what the base class asks for ------------------------------------------------------------------------

    def _fetch(self, cid: CID, limit: int) -> bytes:
        status, body = self._ask("GET", cid, limit)
        if status in _ABSENT:
            raise NotFoundError(f"{self._name} does not have block {cid} (status {status})")
        if status != 200:
            raise StoreError(f"{self._name} answered {status} when asked for block {cid}")
        return body

    def _has(self, cid: CID) -> bool:
        status, _ = self._ask("HEAD", cid, 0)
        if status in _ABSENT:
            return False
        if status != 200:
            raise StoreError(f"{self._name} answered {status} when asked about block {cid}")
        return True

    def _store(self, cid: CID, data: bytes | memoryview) -> None:
        raise self._read_only(f"storing block {cid}")

    def _pin(self, cid: CID) -> None:
        raise self._read_only(f"pinning {cid}")

    def _unpin(self, cid: CID) -> None:
        raise self._read_only(f"unpinning {cid}")

    def _is_pinned(self, cid: CID) -> bool:
        return False

    # -- private ---------------------------------------------------------------------------------------------

    def _read_only(self, doing: str) -> RefusedError:
        return RefusedError(f"{doing}: {self._name} is a gateway, which can only be read from")

    def _ask(self, method: str, cid: str, limit: int) -> tuple[int, bytes]:
        """Return status and body, of which at most ``limit`` bytes are read."""
        import urllib3

        for last_try in (False, True):
            try:
                return self._try(method, cid, limit)
            except urllib3.exceptions.HTTPError as exc:
                # A gateway may close a kept connection in the instant in which it is used again.
                if last_try or not isinstance(exc, urllib3.exceptions.ProtocolError):
                    raise StoreError(f"{self._name} failed, asked for block {cid}: {exc}") from exc
        raise AssertionError("unreachable")

    def _try(self, method: str, cid: str, limit: int) -> tuple[int, bytes]:
        import urllib3

        if self._pool is None:
            # Shared by all threads. No proxy of the environment is used.
            self._pool = urllib3.PoolManager(num_pools=1, maxsize=2 * REQUESTS, retries=False)
        deadline = time.monotonic() + self._timeout
        response = self._pool.request(
            method,
            f"{self._url}/ipfs/{cid}?format=raw",
            headers={"Accept": _RAW, "Accept-Encoding": "identity", "User-Agent": "steelyard"},
            timeout=urllib3.Timeout(connect=min(CONNECT_SECONDS, self._timeout), read=self._timeout),
            redirect=False,
            preload_content=False,
            decode_content=False,
        )
        body = bytearray()
        try:
            # read1 returns after each packet, so that a gateway that sends a byte a minute meets the deadline.
            while len(body) < limit and (piece := response.read1(min(_PIECE, limit - len(body)))):
                body += piece
                if time.monotonic() > deadline:
                    raise StoreError(
                        f"{self._name} did not send block {cid} within {self._timeout:.0f} s; it was cut off"
                    )
        except BaseException:
            response.close()
            raise
        if len(body) < limit or method == "HEAD":
            response.release_conn()
        else:
            response.close()  # there may be more, which nobody wants
        return response.status, bytes(body)


def _parse(url: str) -> tuple[str, str]:
    """Return the URL without a slash at its end, and a name for messages."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise ConfigError(f"a gateway's URL is malformed: {exc}") from exc
    wrong = parts.query or parts.fragment or parts.username is not None or port == 0
    if parts.scheme not in ("http", "https") or not parts.hostname or wrong:
        raise ConfigError("a gateway's URL must look like https://gateway.example")
    path = parts.path.rstrip("/").removesuffix("/ipfs")
    return f"{parts.scheme}://{parts.netloc}{path}", f"{parts.scheme}://{parts.netloc}"
