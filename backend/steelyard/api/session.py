"""Sessions by Sign-in with Ethereum: a nonce, a signed message, a token that ends."""

from __future__ import annotations

import hashlib
import secrets
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from steelyard.api.problem import Problem
from steelyard.api.route import Answer, Call, Endpoint
from steelyard.api.state import State
from steelyard.api.words import hex_bytes
from steelyard.chain.calls import call_data
from steelyard.chain.rpc import Rpc
from steelyard.crypto.personal import personal_digest, recover_text
from steelyard.domain.siwe import Expected, Message, check, parse
from steelyard.domain.types import Address
from steelyard.errors import InputError, RevertError

if TYPE_CHECKING:
    from starlette.requests import Request

    from steelyard.api.service import Service

NONCE_TIME: Final = 600
"""Seconds for which a nonce holds."""
SESSION_TIME: Final = 12 * 3600
"""Seconds after which a session ends, at most."""
MAX_NONCES: Final = 100_000
"""Most nonces that are kept at once; beyond, the service is asked too often."""
MAX_SESSIONS: Final = 50
"""Most sessions of one account; a further one ends the oldest."""
MAX_SIGNATURE: Final = 4096
"""Most bytes of a contract account's signature."""

_ALPHABET: Final = string.ascii_letters + string.digits
_NONCE_LENGTH: Final = 24
_MAGIC: Final = bytes.fromhex("1626ba7e")


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """What signs in.

    Attributes:
        message: as the wallet showed it (ERC-4361).
        signature: ``0x`` and hexadecimal: 65 bytes of an account with a key, up to 4,096 of a contract.
    """

    message: str
    signature: str


@dataclass(frozen=True, kw_only=True)
class Nonce:
    """A nonce, and the Unix seconds until which it holds; ``domain``, ``uri`` and ``chain_id`` are what the message must say."""

    nonce: str
    expires: int
    domain: str
    uri: str
    chain_id: int


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session: what is sent as ``Authorization: Bearer``, said this once, and when it ends (Unix seconds)."""

    token: str
    account: Address
    expires: int


def state_of(service: Service) -> State:
    """Return the service's tables.

    Raises:
        Problem: this service keeps none.
    """
    if service.state is None:
        raise Problem("not-ready", "this service only reads")
    return service.state


def make_nonce(state: State, *, now: int) -> tuple[str, int]:
    """Keep a fresh nonce and return it with the Unix seconds until which it holds.

    Raises:
        Problem: there are too many.
    """
    nonce = "".join(secrets.choice(_ALPHABET) for _ in range(_NONCE_LENGTH))
    with state.write() as writer:
        writer.execute("DELETE FROM service_nonces WHERE expires < ?", (now,))
        (count,) = writer.rows("SELECT count(*) FROM service_nonces")[0]
        if count >= MAX_NONCES:
            raise Problem("too-many-requests", "too many people sign in now", retry_after=60)
        writer.execute("INSERT INTO service_nonces (nonce, expires) VALUES (?, ?)", (nonce, now + NONCE_TIME))
    return nonce, now + NONCE_TIME


def spend_nonce(state: State, nonce: str, *, now: int) -> bool:
    """Use a nonce up and return whether it held. Of several who try at once, one statement lets one through."""
    with state.write() as writer:
        return (
            writer.execute("DELETE FROM service_nonces WHERE nonce = ? AND expires >= ?", (nonce, now)) == 1
        )


def make_session(state: State, account: Address, *, now: int, expires: int) -> Session:
    """Keep a fresh session and return it; of the token only a hash is kept."""
    token = secrets.token_urlsafe(32)
    with state.write() as writer:
        old = writer.rows(
            "SELECT token FROM service_sessions WHERE account = ? ORDER BY created DESC", (account,)
        )
        for (kept,) in old[MAX_SESSIONS - 1 :]:
            writer.execute("DELETE FROM service_sessions WHERE token = ?", (kept,))
        writer.execute(
            "INSERT INTO service_sessions (token, account, created, expires) VALUES (?, ?, ?, ?)",
            (_hash(token), account, now, expires),
        )
    return Session(token=token, account=account, expires=expires)


def find_session(state: State, token: str, *, now: int) -> Address | None:
    """Return whose session a token is of, or None if it is of none that holds."""
    sql = "SELECT account FROM service_sessions WHERE token = ? AND expires > ?"
    with state.read() as reader:
        found = reader.row(sql, (_hash(token), now))
    return None if found is None else Address(bytes(found[0]))


def end_session(state: State, token: str) -> None:
    """End a session."""
    with state.write() as writer:
        writer.execute("DELETE FROM service_sessions WHERE token = ?", (_hash(token),))


def is_signed_by(rpc: Rpc, account: Address, message: str, signature: bytes) -> bool:
    """Return whether an account signed a text: by its key, or as a contract says at the newest block (ERC-1271).

    Raises:
        ChainError: the endpoint failed.
    """
    digest = personal_digest(message.encode())
    if recover_text(digest, signature) == account:
        return True
    if not rpc.get_code(account):
        return False
    data = call_data("isValidSignature(bytes32,bytes)", digest, signature)
    try:
        answer = rpc.eth_call(account, data)
    except RevertError:
        return False
    return len(answer) == 32 and answer[:4] == _MAGIC and not any(answer[4:])


async def authenticate(service: Service, request: Request) -> Address | None:
    """Return who is signed in, or None without ``Authorization``.

    Raises:
        Problem: the header is malformed, or its token is of no session that holds.
    """
    token = _token(request)
    if token is None:
        return None
    account = await service.thread(find_session, state_of(service), token, now=service.now())
    if account is None:
        raise Problem("session-ended", "sign in again", headers={"www-authenticate": "Bearer"})
    return account


async def post_nonce(call: Call) -> Answer:
    """Give a nonce."""
    service = call.service
    nonce, expires = await service.thread(make_nonce, state_of(service), now=service.now())
    expected = _expected(service)
    return Answer(
        value=Nonce(
            nonce=nonce,
            expires=expires,
            domain=expected.origin.partition("://")[2],
            uri=service.options.public_url,
            chain_id=expected.chain_id,
        ),
        status=201,
        headers={"cache-control": "no-store"},
    )


async def post_session(call: Call) -> Answer:
    """Sign in."""
    service, body = call.service, call.body
    try:
        message = parse(body.message)
        check(message, _expected(service), now=service.now())
    except InputError as exc:
        raise Problem("bad-message", str(exc), parameter="message") from exc
    try:
        signature = hex_bytes(body.signature, None, "signature")
    except InputError as exc:
        raise Problem("bad-signature", str(exc), parameter="signature") from exc
    if len(signature) > MAX_SIGNATURE:
        raise Problem("bad-signature", "the signature is too long", parameter="signature")
    made = await service.thread(_sign_in, service, message, body.message, signature)
    return Answer(value=made, status=201, headers={"cache-control": "no-store"})


def _sign_in(service: Service, message: Message, text: str, signature: bytes) -> Session:
    state, now = state_of(service), service.now()
    # Spent first: whoever guesses signatures needs a nonce for each.
    if not spend_nonce(state, message.nonce, now=now):
        raise Problem(
            "bad-message", "the nonce is not of this service, used, or too old", parameter="message"
        )
    if not is_signed_by(service.context.rpc, message.address, text, signature):
        raise Problem("bad-signature", "the signature is not of the account that the message names")
    ends = now + SESSION_TIME
    if message.expiration_time is not None:
        ends = min(ends, message.expiration_time)
    return make_session(state, message.address, now=now, expires=ends)


async def delete_session(call: Call) -> Answer:
    """End the session that the request has."""
    token = _token(call.request)
    if token is not None:
        await call.service.thread(end_session, state_of(call.service), token)
    return Answer(value=None, status=204)


def _expected(service: Service) -> Expected:
    scheme, _, rest = service.options.public_url.partition("://")
    return Expected(origin=f"{scheme}://{rest.partition('/')[0]}", chain_id=service.context.chain_id)


def _token(request: Request) -> str | None:
    values = request.headers.getlist("authorization")
    if not values:
        return None
    scheme, _, token = values[0].partition(" ")
    if len(values) > 1 or scheme.lower() != "bearer" or not token or len(token) > 200 or not token.isascii():
        raise Problem(
            "not-signed-in", "Authorization is 'Bearer' and a token", headers={"www-authenticate": "Bearer"}
        )
    return token


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="POST",
        path="/v1/session/nonce",
        handler=post_nonce,
        name="post_nonce",
        summary="A nonce for a sign-in message: holds for 10 minutes, once",
        tag="session",
        answer=Nonce,
        problems=("too-many-requests",),
        status=201,
    ),
    Endpoint(
        method="POST",
        path="/v1/session",
        handler=post_session,
        name="post_session",
        summary="Sign in with Ethereum (ERC-4361)",
        tag="session",
        body=SignIn,
        answer=Session,
        problems=("bad-message", "bad-signature", "chain-unavailable"),
        status=201,
    ),
    Endpoint(
        method="DELETE",
        path="/v1/session",
        handler=delete_session,
        name="delete_session",
        summary="End the session",
        tag="session",
        signed_in=True,
        status=204,
    ),
)
"""What this module serves."""
