"""A Kubo node, or anything that speaks its RPC, as a store.

Calls go through ``ipfshttpclient`` 0.8.0a2 (measured against thin code of our own in docs/store.md). Three
things it does not do are added around it: an answer is read with a limit on its bytes and on its time, since
the library would read whatever comes; errors that it lets through are mapped; and a client is used by one thread at a
time, for its session is not made for sharing. Its check of the daemon's version is not used: it knows none later than 2021.

Files are cut into blocks here and sent as blocks, so the identifiers do not depend on how the node is
configured.
"""

from __future__ import annotations

import io
import ipaddress
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

from steelyard.domain.jsontext import check_depth
from steelyard.errors import ConfigError, NotFoundError, StoreError
from steelyard.storage.base import Store
from steelyard.storage.cid import CID, codec_of
from steelyard.storage.dagpb import MAX_BLOCK
from steelyard.storage.gateway import REQUESTS

if TYPE_CHECKING:
    import ipfshttpclient
    import requests

MAX_ANSWER = MAX_BLOCK + 4096
"""Most bytes that are read of an answer to anything."""

CONNECT_SECONDS = 10.0
"""Longest wait for a connection."""

_CODEC_NAMES = {0x55: "raw", 0x70: "dag-pb"}


class KuboStore(Store):
    """A store behind a Kubo RPC endpoint."""

    at_once = REQUESTS

    def __init__(self, url: str, *, timeout: float = 60.0, pin_timeout: float = 600.0) -> None:
        """Remember the endpoint; nothing is sent yet.

        Args:
            url: ``http://host:port``, optionally with ``user:password@`` and ``/api/v0``.
            timeout: seconds for a whole answer; Kubo looks in its network for a block it does not hold.
            pin_timeout: seconds for pinning, in which Kubo fetches what it lacks.

        Raises:
            ConfigError: the URL is malformed.
        """
        self._address, self._auth, self._name = _parse_endpoint(url)
        self._timeout = timeout
        self._pin_timeout = pin_timeout
        self._idle: list[ipfshttpclient.Client] = []

    @property
    def name(self) -> str:
        """The node, for messages."""
        return self._name

    def close(self) -> None:
        """Close all connections."""
        while self._idle:
            self._idle.pop().close()

    def version(self) -> str:
        """Return the version that the node reports.

        Raises:
            StoreError: it did not answer, or not as a Kubo RPC endpoint does.
        """
        return _text(self._ask("asking for its version", lambda client: client.version()), "Version")

    # -- what the base class asks for ------------------------------------------------------------------------

    def _fetch(self, cid: CID, limit: int) -> bytes:
        del limit  # MAX_ANSWER holds for every call, below in _bounded
        try:
            return bytes(self._ask(f"fetching block {cid}", lambda client: client.block.get(cid)))
        except _Refused as exc:
            raise NotFoundError(f"no block {cid}: {exc}") from exc

    def _store(self, cid: CID, data: bytes | memoryview) -> None:
        options = {"cid-codec": _CODEC_NAMES[codec_of(cid)], "mhtype": "sha2-256", "pin": "false"}
        answer = self._ask(
            f"storing block {cid}", lambda client: client.block.put(io.BytesIO(data), opts=dict(options))
        )
        if (stored := _text(answer, "Key")) != cid:
            raise StoreError(f"{self._name} stored block {cid} under another name, {stored[:80]!r}")

    def _has(self, cid: CID) -> bool:
        try:
            answer = self._ask(f"looking for {cid}", lambda client: client.block.stat(cid, offline=True))
        except _Refused:
            # The node answered and refused. Why it did stands only in its prose, which is not looked at.
            return False
        return _text(answer, "Key") == cid

    def _pin(self, cid: CID) -> None:
        waits = (CONNECT_SECONDS, self._pin_timeout)
        try:
            self._ask(f"pinning {cid}", lambda client: client.pin.add(cid, timeout=waits))
        except _Refused as exc:
            raise NotFoundError(f"could not pin {cid}: {exc}") from exc

    def _unpin(self, cid: CID) -> None:
        try:
            self._ask(f"unpinning {cid}", lambda client: client.pin.rm(cid))
        except _Refused:
            if self._is_pinned(cid):
                raise

    def _is_pinned(self, cid: CID) -> bool:
        try:
            answer = self._ask(f"looking for pin {cid}", lambda client: client.pin.ls(cid, type="recursive"))
        except _Refused:
            return False
        keys = _fields(answer).get("Keys")
        return isinstance(keys, dict) and cid in keys

    # -- private ---------------------------------------------------------------------------------------------

    def _ask(self, doing: str, call: Callable[[ipfshttpclient.Client], Any]) -> Any:
        """Make a call with a client that nobody else has, and turn every error of the library into one of ours."""
        # Lazy: the library and what it pulls in take 0.2 s to import, and most commands need none of it.
        import ipfshttpclient.exceptions as theirs
        import requests
        import urllib3.exceptions

        for last_try in (False, True):
            try:
                with self._client() as client:
                    return call(client)
            except theirs.ErrorResponse as exc:
                raise _Refused(f"{self._name}, {doing}: {exc}") from exc
            except (AssertionError, LookupError, TypeError) as exc:
                # How the library fails on an answer of another shape than it expects.
                raise StoreError(f"{self._name} answered nonsense, {doing}: {exc!r}") from exc
            except (theirs.Error, requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as exc:
                # A node may close a kept connection in the instant in which it is used again. Every call here
                # may be made twice, since blocks and pins are named by content.
                if last_try or not isinstance(exc, theirs.ConnectionError | theirs.ProtocolError):
                    raise StoreError(f"{self._name} failed, {doing}: {exc}") from exc
        raise AssertionError("unreachable")

    @contextmanager
    def _client(self) -> Iterator[ipfshttpclient.Client]:
        try:
            client = self._idle.pop()
        except IndexError:
            client = self._connect()
        try:
            yield client
        finally:
            self._idle.append(client)

    def _connect(self) -> ipfshttpclient.Client:
        import ipfshttpclient

        # It hands urllib3 an argument that does nothing any more; the category depends on urllib3's version.
        for category in (DeprecationWarning, FutureWarning):
            warnings.filterwarnings("ignore", "The 'strict' parameter is no longer needed", category)
        client = ipfshttpclient.Client(
            self._address,
            chunk_size=MAX_BLOCK,
            session=True,
            auth=self._auth,
            timeout=(CONNECT_SECONDS, self._timeout),
            username=None,
            password=None,
        )
        # The library offers no way to set these. Its version is pinned exactly, and a test fails without them.
        session: requests.Session = client._client._session
        session.trust_env = False  # no proxy, and no password from .netrc, for a node named by an address
        session.hooks["response"].append(self._bounded)
        return client

    def _bounded(self, response: requests.Response, **options: Any) -> requests.Response:
        """Read the answer now, within MAX_ANSWER and the time limit, and put what was read in its place."""
        import requests

        waits = options.get("timeout")
        deadline = time.monotonic() + (waits[1] if isinstance(waits, tuple) else self._timeout)
        if response.is_redirect:
            response.close()
            raise StoreError(f"{self._name} redirects its RPC; that is never followed")
        body = bytearray()
        try:
            # read1 returns after each packet, so that a node that sends a byte a minute meets the deadline.
            while piece := response.raw.read1(1 << 16, decode_content=False):
                body += piece
                if len(body) > MAX_ANSWER:
                    raise StoreError(
                        f"{self._name} sent more than {MAX_ANSWER} bytes in one answer; it was cut off"
                    )
                if time.monotonic() > deadline:
                    raise requests.ReadTimeout(f"no complete answer in {self._timeout:.0f} s")
        except BaseException:
            response.close()
            raise
        if not (response.ok and urlsplit(response.url).path.endswith("/block/get")):
            check_depth(bytes(body))  # the library parses all answers but blocks
        # A plain file, without urllib3's decompression: an answer cannot unfold into more than was read.
        response.raw = io.BytesIO(bytes(body))
        return response


class _Refused(StoreError):
    """The node answered with an error of its own."""


def _fields(answer: object) -> dict[str, object]:
    """Return the fields of an answer, without the library's wrapping.

    Raises:
        StoreError: it is no JSON object.
    """
    raw = answer.as_json() if hasattr(answer, "as_json") else answer
    if not isinstance(raw, dict):
        raise StoreError("the store's answer is no JSON object; is this a Kubo RPC endpoint?")
    return raw


def _text(answer: object, key: str) -> str:
    """Return a text field of an answer.

    Raises:
        StoreError: it is not there.
    """
    value = _fields(answer).get(key)
    if not isinstance(value, str):
        raise StoreError(f"the store's answer has no text {key!r}; is this a Kubo RPC endpoint?")
    return value


def _parse_endpoint(url: str) -> tuple[str, tuple[str, str] | None, str]:
    """Return the multiaddr, the credentials, and a name for messages, without the credentials."""
    try:
        parts: SplitResult = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ConfigError(f"the store's URL is malformed: {exc}") from exc
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise ConfigError("the store's URL must look like http://127.0.0.1:5001")
    if parts.path.rstrip("/") not in ("", "/api/v0"):
        raise ConfigError(f"the store's URL has the path {parts.path!r}; only /api/v0 is known")
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    auth = None
    if parts.username is not None:
        auth = (unquote(parts.username), unquote(parts.password or ""))
    return f"/{_family(host)}/{host}/tcp/{port}/{parts.scheme}", auth, f"{parts.scheme}://{host}:{port}"


def _family(host: str) -> str:
    try:
        return f"ip{ipaddress.ip_address(host).version}"
    except ValueError:
        return "dns"
