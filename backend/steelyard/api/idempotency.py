"""``Idempotency-Key``: the first answer to a key is kept and given again, so a request can be repeated without being done twice.

A row is written before the work and filled after it. Whoever finds it unfilled is told to wait; whoever finds it unfilled
for longer than any request may take, since the process that began has died, takes it over.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from steelyard.api.problem import Problem
from steelyard.api.service import Reply, Service
from steelyard.api.session import state_of
from steelyard.api.state import ANSWER_TIME, State

ABANDONED: Final = 120
"""Seconds after which a request that was begun and not finished counts as dead: four times the longest that one may take."""
MAX_KEPT: Final = 262_144
"""Most bytes of an answer that are kept; a longer one is given once, and its key is free again."""
MAX_KEYS: Final = 1000
"""Most keys of one caller; the oldest are forgotten first."""


async def once(
    service: Service, /, *, caller: str, key: str, digest: bytes, run: Callable[[], Awaitable[Reply]]
) -> Reply:
    """Return the kept answer, or call ``run`` once and keep what it answers; see :class:`steelyard.api.service.Once`.

    Answers that say "try again" (408, 429, 5xx) are not kept: the next request with the key is done anew.

    Raises:
        Problem: ``idempotency-mismatch`` or ``idempotency-busy``.
    """
    state, name = state_of(service), _name(caller, key)
    owner = hashlib.sha256(caller.encode()).digest()
    holder = secrets.token_bytes(16)
    kept = await service.thread(
        begin, state, name, caller=owner, digest=digest, holder=holder, now=service.now()
    )
    if kept is not None:
        return Reply(
            status=kept.status, headers={**kept.headers, "idempotent-replayed": "true"}, body=kept.body
        )
    done = None
    try:
        done = await run()
    finally:
        # A caller who is gone must not leave the key busy, nor a done thing undone; so this never waits for a place among the
        # service's threads.
        if done is None or done.status in (408, 429) or done.status >= 500 or len(done.body) > MAX_KEPT:
            await asyncio.to_thread(forget, state, name, holder=holder)
        else:
            await asyncio.to_thread(finish, state, name, holder=holder, reply=done)
    return done


def begin(
    state: State, name: bytes, *, caller: bytes, digest: bytes, holder: bytes, now: int
) -> Reply | None:
    """Return the kept answer, or None: then the caller does it, and finishes or forgets.

    Args:
        state: the tables.
        name: 32 bytes that stand for caller and key.
        caller: 32 bytes that stand for the caller.
        digest: of the request, 32 bytes.
        holder: random bytes of this attempt.
        now: Unix seconds.

    Raises:
        Problem: the key is of another request, or of one that is under way.
    """
    with state.write() as writer:
        writer.execute("DELETE FROM service_answers WHERE key = ? AND started < ?", (name, now - ANSWER_TIME))
        made = writer.execute(
            "INSERT INTO service_answers (key, caller, digest, holder, started) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (key) DO NOTHING",
            (name, caller, digest, holder, now),
        )
        if made == 1:
            writer.execute(
                "DELETE FROM service_answers WHERE caller = ? AND key NOT IN"
                " (SELECT key FROM service_answers WHERE caller = ? ORDER BY started DESC, key LIMIT ?) AND key <> ?",
                (caller, caller, MAX_KEYS, name),
            )
            return None
        row = writer.row(
            "SELECT digest, started, status, headers, body FROM service_answers WHERE key = ?", (name,)
        )
        if row is None:  # forgotten between the two statements
            raise Problem("idempotency-busy", "try again")
        if bytes(row[0]) != digest:
            raise Problem("idempotency-mismatch", "choose a new key for a new request")
        if row[2] is not None:
            return Reply(status=row[2], headers=json.loads(row[3]), body=bytes(row[4]))
        # Of several who find it abandoned, the statement lets one through.
        taken = row[1] <= now - ABANDONED and writer.execute(
            "UPDATE service_answers SET holder = ?, started = ? WHERE key = ? AND started = ? AND status IS NULL",
            (holder, now, name, row[1]),
        )
        if not taken:
            raise Problem("idempotency-busy", "the first request with this key is under way")
        return None


def finish(state: State, name: bytes, *, holder: bytes, reply: Reply) -> None:
    """Keep an answer, if the key is still held by the same attempt."""
    with state.write() as writer:
        writer.execute(
            "UPDATE service_answers SET status = ?, headers = ?, body = ? WHERE key = ? AND holder = ? AND status IS NULL",
            (reply.status, json.dumps(dict(reply.headers)), reply.body, name, holder),
        )


def forget(state: State, name: bytes, *, holder: bytes) -> None:
    """Let go of a key, if it is still held by the same attempt."""
    with state.write() as writer:
        writer.execute(
            "DELETE FROM service_answers WHERE key = ? AND holder = ? AND status IS NULL", (name, holder)
        )


def _name(caller: str, key: str) -> bytes:
    return hashlib.sha256(len(caller).to_bytes(2, "big") + caller.encode() + key.encode()).digest()
