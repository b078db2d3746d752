"""Requests to addresses that users give: to public machines only, over TLS, to the very address that was checked.

A URL is read strictly, its host resolved once, every address that it has must be public, and the connection goes to one of these
addresses; the name is not asked again. No redirect is followed, no proxy or credential used, and time and size are bounded.
Sources: OWASP, "Server-Side Request Forgery Prevention"; IANA special-purpose address registries for IPv4 and IPv6 (RFC 6890).
"""

from __future__ import annotations

import http.client
import io
import re
import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, cast
from urllib.parse import urlsplit

from steelyard.errors import InputError, RefusedError, UnavailableError

MAX_URL: Final = 2048
MAX_ANSWER: Final = 65_536
"""Most bytes of an answer that are read; the rest is not asked for."""
TIMEOUT: Final = 10.0
"""Seconds for one request, from the first packet to the last byte."""

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host as text; raises OSError if it has none."""
Connector = Callable[[str, int, float], socket.socket]
"""Connects to an address, a port, within seconds."""

_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_DOTTED: Final = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!$)|$)){4}", re.ASCII)
# Names that never mean a public machine (RFC 6761, 6762, 7686, 8375, 9476; internal: ICANN 2024).
_PRIVATE_NAMES: Final = frozenset(
    {
        "localhost",
        "local",
        "internal",
        "intranet",
        "lan",
        "home",
        "corp",
        "test",
        "invalid",
        "onion",
        "alt",
        "arpa",
    }
)
_CLOSED_4: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # a cloud's wire server, in public space
    )
)  # fmt: skip
# Of IPv6 only global unicast is open, and of that neither tunnels, which wrap any IPv4 address, nor documentation.
_OPEN_6: Final = ip_network("2000::/3")
_CLOSED_6: Final = tuple(
    ip_network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "2620:4f:8000::/48")
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where a request goes, as far as its URL says.

    Attributes:
        secure: whether it is https.
        host: name in lower case, or address without brackets.
        port: TCP port.
        path: path and query, as sent.
    """

    secure: bool
    host: str
    port: int
    path: str


@dataclass(frozen=True, kw_only=True)
class Response:
    """What came back: status, and at most ``MAX_ANSWER`` bytes of the body."""

    status: int
    body: bytes


def parse_target(url: str, *, allow_private: bool = False) -> Target:
    """Read a URL.

    Args:
        url: as given by a user.
        allow_private: whether ``http``, addresses and names of one's own network are taken too.

    Raises:
        InputError: it is malformed, or not https to what looks like a public name or address.
    """
    if len(url) > MAX_URL or not all(33 <= ord(char) < 127 for char in url) or "\\" in url:
        raise InputError(f"the URL has characters that must be percent-encoded, or more than {MAX_URL}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InputError("the URL is malformed") from None
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise InputError("the URL must be https")
    if "@" in parts.netloc:
        raise InputError("the URL must not hold credentials")
    if "#" in url:
        raise InputError("the URL must not have a fragment")
    host = (parts.hostname or "").lower()
    secure = parts.scheme == "https"
    if port == 0 or parts.netloc.endswith(":"):
        raise InputError("the URL's port is malformed")
    _check_host(host, bracketed="[" in parts.netloc, allow_private=allow_private)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(secure=secure, host=host, port=port or (443 if secure else 80), path=path)


def _check_host(host: str, *, bracketed: bool, allow_private: bool) -> None:
    if bracketed or _DOTTED.fullmatch(host):
        try:
            address = ip_address(host)
        except ValueError:
            raise InputError("the URL's address is malformed") from None
        if not allow_private and not is_public(address):
            raise InputError(f"{host} is no public address")
        return
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise InputError("the URL's host is no name and no address in its usual form")
    # A last label of digits is how decimal, octal and hexadecimal spellings of an address end (WHATWG URL, "ends in a number").
    if labels[-1].isdigit() or re.fullmatch(r"0x[0-9a-f]*", labels[-1]):
        raise InputError("the URL's host is an address in an unusual form")
    if not allow_private and (len(labels) < 2 or labels[-1] in _PRIVATE_NAMES):
        raise InputError(f"{host} is no public name")


def is_public(address: Address) -> bool:
    """Return whether an address is of the public internet, and wraps no other one."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_4)
    if address.scope_id is not None:
        return False
    return address in _OPEN_6 and not any(address in network for network in _CLOSED_6)


def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses that the system's resolver gives for a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(item[4][0]) for item in found))


def connect(address: str, port: int, timeout: float) -> socket.socket:
    """Connect to an address; nothing is resolved."""
    return socket.create_connection((address, port), timeout=timeout)


class Outgoing:
    """Sends requests to addresses that users give. Safe to use from several threads."""

    def __init__(
        self,
        *,
        allow_private: bool = False,
        resolver: Resolver = resolve,
        connector: Connector = connect,
        timeout: float = TIMEOUT,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Remember how.

        Args:
            allow_private: whether ``http`` and one's own network may be reached.
            resolver: finds addresses; for tests.
            connector: connects; for tests.
            timeout: seconds for one request.
            tls: how certificates are checked; the system's way if None.
        """
        self.allow_private = allow_private
        self._resolver = resolver
        self._connector = connector
        self._timeout = timeout
        self._tls = tls

    def check(self, url: str) -> Target:
        """Read a URL and resolve its host, without connecting.

        Raises:
            InputError: the URL is not acceptable.
            RefusedError: its host has an address that is not public.
            UnavailableError: its host has no address.
        """
        target = parse_target(url, allow_private=self.allow_private)
        self._addresses(target)
        return target

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Response:
        """Send a body and return what comes back, whatever its status; a redirect is an answer like others.

        Raises:
            InputError: the URL is not acceptable.
            RefusedError: its host has an address that is not public (any more).
            UnavailableError: no whole answer came in time.
        """
        target = parse_target(url, allow_private=self.allow_private)
        end = time.monotonic() + self._timeout
        address = self._addresses(target)[0]
        try:
            with self._open(target, address, end) as sock:
                return _exchange(sock, target, body, headers, end)
        except TimeoutError:
            raise UnavailableError(f"{target.host} did not answer within {self._timeout:g} s") from None
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise UnavailableError(f"no answer from {target.host}: {type(exc).__name__}") from exc

    def _addresses(self, target: Target) -> list[str]:
        try:
            found = [ip_address(text) for text in self._resolver(target.host, target.port)]
        except (OSError, ValueError, UnicodeError):
            found = []
        if not found:
            raise UnavailableError(f"{target.host} has no address")
        # One private address among public ones is what a rebinding attack looks like.
        if not self.allow_private and not all(is_public(address) for address in found):
            raise RefusedError(f"{target.host} has an address that is not public")
        return [str(address) for address in found]

    def _open(self, target: Target, address: str, end: float) -> socket.socket:
        sock = self._connector(address, target.port, _left(end))
        try:
            sock.settimeout(_left(end))
            if not target.secure:
                return sock
            context = self._tls or ssl.create_default_context()
            return context.wrap_socket(sock, server_hostname=target.host)
        except BaseException:
            sock.close()
            raise


def _exchange(
    sock: socket.socket, target: Target, body: bytes, headers: Mapping[str, str], end: float
) -> Response:
    name = f"[{target.host}]" if ":" in target.host else target.host
    usual = 443 if target.secure else 80
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {name}" + (f":{target.port}" if target.port != usual else ""),
    ]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    lines += [f"Content-Length: {len(body)}", "Connection: close", "", ""]
    sock.sendall("\r\n".join(lines).encode("ascii") + body)
    response = http.client.HTTPResponse(cast(socket.socket, _Timed(sock, end)), method="POST")
    try:
        response.begin()
        parts, size = [], 0
        while size < MAX_ANSWER:
            part = response.read1(min(8192, MAX_ANSWER - size))
            if not part:
                break
            parts.append(part)
            size += len(part)
        return Response(status=response.status, body=b"".join(parts))
    finally:
        response.close()


class _Timed(io.RawIOBase):
    """The reading side of a socket with one deadline for all of it: a server that drips would never run into that of a packet."""

    def __init__(self, sock: socket.socket, end: float) -> None:
        self._sock = sock
        self._end = end

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed's Buffer is wider
        self._sock.settimeout(_left(self._end))
        return self._sock.recv_into(buffer)


def _left(end: float) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
