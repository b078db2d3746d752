"""Sign-in messages (ERC-4361): one strict reader, and the checks that need neither chain nor database.

The grammar is that of the ERC, letter by letter; what another reader might take for the same message is refused, so that the text that a
wallet showed is the text that was checked. Why not a library: docs/decisions/0005-our-own-sign-in-message.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from urllib.parse import urlsplit

from steelyard.domain.plain import checksum
from steelyard.domain.types import Address
from steelyard.errors import InputError

MAX_MESSAGE: Final = 4096
"""Most bytes of a message; a wallet could not show more."""
SKEW: Final = 60
"""Seconds by which the clock of who signs may be ahead."""
MAX_AGE: Final = 600
"""Seconds after ``Issued At`` in which a message is taken; as long as a nonce holds."""

_UNRESERVED: Final = "A-Za-z0-9\\-._~"
_PCHAR: Final = rf"(?:[{_UNRESERVED}!$&'()*+,;=:@]|%[0-9A-Fa-f]{{2}})"
_AUTHORITY: Final = rf"(?:[{_UNRESERVED}!$&'()*+,;=:@\[\]]|%[0-9A-Fa-f]{{2}})+"
_URI: Final = rf"[A-Za-z][A-Za-z0-9+\-.]*:(?:{_PCHAR}|[/?#\[\]])+"
_TIME: Final = (
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]{1,9})?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_DATE: Final = re.compile(_TIME, re.ASCII)
_GRAMMAR: Final = re.compile(
    rf"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+\-.]*)://)?(?P<domain>{_AUTHORITY})"
    r" wants you to sign in with your Ethereum account:\n"
    r"(?P<address>0x[0-9A-Fa-f]{40})\n"
    r"\n"
    rf"(?:(?P<statement>[{_UNRESERVED}:/?#\[\]@!$&'()*+,;= ]+)\n)?"
    r"\n"
    rf"URI: (?P<uri>{_URI})\n"
    r"Version: (?P<version>1)\n"
    r"Chain ID: (?P<chain>[0-9]{1,20})\n"
    r"Nonce: (?P<nonce>[A-Za-z0-9]{8,128})\n"
    r"Issued At: (?P<issued>[0-9TtZz:.+\-]+)"
    r"(?:\nExpiration Time: (?P<expires>[0-9TtZz:.+\-]+))?"
    r"(?:\nNot Before: (?P<begins>[0-9TtZz:.+\-]+))?"
    rf"(?:\nRequest ID: (?P<request>{_PCHAR}*))?"
    rf"(?:\nResources:(?P<resources>(?:\n- {_URI})*))?",
    re.ASCII,
)


@dataclass(frozen=True, kw_only=True)
class Message:
    """A sign-in message.

    Attributes:
        scheme: of the origin that asks, or None.
        domain: authority (host and port) that asks.
        address: who is to sign.
        statement: what the user is told, or None.
        uri: what the sign-in is for.
        chain_id: EIP-155 chain id.
        nonce: of the service, 8 or more letters and digits.
        issued_at: Unix seconds.
        expiration_time: Unix seconds from which on it does not hold, or None.
        not_before: Unix seconds from which on it holds, or None.
        request_id: of whoever asks, or None.
        resources: URIs.
    """

    scheme: str | None = None
    domain: str
    address: Address
    statement: str | None = None
    uri: str
    chain_id: int
    nonce: str
    issued_at: int
    expiration_time: int | None = None
    not_before: int | None = None
    request_id: str | None = None
    resources: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the message as a wallet shows and signs it."""
        scheme = "" if self.scheme is None else f"{self.scheme}://"
        lines = [
            f"{scheme}{self.domain} wants you to sign in with your Ethereum account:",
            checksum(self.address),
            "",
            *([] if self.statement is None else [self.statement]),
            "",
            f"URI: {self.uri}",
            "Version: 1",
            f"Chain ID: {self.chain_id}",
            f"Nonce: {self.nonce}",
            f"Issued At: {_date(self.issued_at)}",
        ]
        if self.expiration_time is not None:
            lines.append(f"Expiration Time: {_date(self.expiration_time)}")
        if self.not_before is not None:
            lines.append(f"Not Before: {_date(self.not_before)}")
        if self.request_id is not None:
            lines.append(f"Request ID: {self.request_id}")
        if self.resources:
            lines += ["Resources:", *(f"- {uri}" for uri in self.resources)]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """What a service signs people in for.

    Attributes:
        origin: of its pages: ``https://market.example``, with a port if it has one of its own.
        chain_id: EIP-155 chain id of its market.
    """

    origin: str
    chain_id: int


def parse(text: str) -> Message:
    """Read a message.

    Raises:
        InputError: it is not word for word what ERC-4361 describes.
    """
    if len(text.encode("utf-8", "replace")) > MAX_MESSAGE:
        raise InputError(f"a sign-in message has at most {MAX_MESSAGE} bytes")
    found = _GRAMMAR.fullmatch(text)
    if found is None:
        raise InputError("that is no sign-in message (ERC-4361)")
    address = Address(bytes.fromhex(found["address"][2:]))
    if checksum(address) != found["address"]:
        raise InputError("the address of the message is not written with its checksum (ERC-55)")
    resources = found["resources"]
    return Message(
        scheme=found["scheme"],
        domain=found["domain"],
        address=address,
        statement=found["statement"],
        uri=found["uri"],
        chain_id=int(found["chain"]),
        nonce=found["nonce"],
        issued_at=_seconds(found["issued"]),
        expiration_time=None if found["expires"] is None else _seconds(found["expires"]),
        not_before=None if found["begins"] is None else _seconds(found["begins"]),
        request_id=found["request"],
        resources=tuple(line[2:] for line in resources.split("\n")[1:]) if resources else (),
    )


def check(message: Message, expected: Expected, *, now: int) -> None:
    """Check that a message is for this service, this chain and this moment. The nonce is the database's matter.

    Args:
        message: as read.
        expected: what it must be for.
        now: Unix seconds.

    Raises:
        InputError: it is for something else, or for another time.
    """
    wanted = urlsplit(expected.origin)
    if message.domain.lower() != wanted.netloc.lower():
        raise InputError(f"the message is for {message.domain}, and this service is {wanted.netloc}")
    if message.scheme is not None and message.scheme.lower() != wanted.scheme:
        raise InputError(f"the message is for {message.scheme}://, and this service is {wanted.scheme}://")
    if _origin(message.uri) != (wanted.scheme, wanted.netloc.lower()):
        raise InputError(f"the message's URI is not at {expected.origin}")
    if message.chain_id != expected.chain_id:
        raise InputError(f"the message is for chain {message.chain_id}, not {expected.chain_id}")
    if message.issued_at > now + SKEW:
        raise InputError("the message is issued in the future: is the clock right?")
    if message.issued_at < now - MAX_AGE:
        raise InputError("the message is too old: ask for a new nonce")
    if message.expiration_time is not None and message.expiration_time <= now:
        raise InputError("the message has expired")
    if message.not_before is not None and message.not_before > now:
        raise InputError("the message does not hold yet")


def _origin(uri: str) -> tuple[str, str]:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return "", ""
    return parts.scheme.lower(), parts.netloc.lower()


def _seconds(text: str) -> int:
    """Return the Unix seconds of an RFC 3339 time, fractions cut off."""
    found = _DATE.fullmatch(text)
    if found is None:
        raise InputError(f"{text!r} is no time (RFC 3339)")
    zone = UTC
    if found[7] not in "Zz":
        offset = timedelta(hours=int(found[7][1:3]), minutes=int(found[7][4:]))
        if offset >= timedelta(days=1) or int(found[7][4:]) > 59:
            raise InputError(f"{text!r} is no time (RFC 3339)")
        zone = timezone(-offset if found[7][0] == "-" else offset)
    try:
        year, month, day, hour, minute, second = (int(found[place]) for place in range(1, 7))
        return int(datetime(year, month, day, hour, minute, second, tzinfo=zone).timestamp() // 1)
    except (ValueError, OverflowError):
        raise InputError(f"{text!r} is no time (RFC 3339)") from None


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
