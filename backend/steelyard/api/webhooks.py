"""Webhooks: who wants to be told of which entries, and where; told by :mod:`steelyard.api.hooks`."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import dataclass, field
from typing import Final

from steelyard.api.filters import EventFilter, pack_filter, query_of
from steelyard.api.hooks import ACTIVE, PAUSED, Hook, Hooks, find_hook, read_hooks
from steelyard.api.outgoing import Outgoing
from steelyard.api.problem import Problem
from steelyard.api.route import Answer, Call, Endpoint
from steelyard.api.service import Service
from steelyard.api.session import state_of
from steelyard.api.state import State
from steelyard.domain.types import Address
from steelyard.errors import InputError, NotFoundError, RefusedError, UnavailableError
from steelyard.indexer.schema import MAX_LOG, place

MAX_HOOKS: Final = 20
"""Most webhooks of one account."""


@dataclass(frozen=True, kw_only=True)
class NewWebhook:
    """Where to, and what of."""

    url: str
    filter: EventFilter = field(default_factory=EventFilter)


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """A webhook.

    Attributes:
        id: of the webhook.
        url: where to.
        filter: which entries.
        state: ``active`` or ``paused``.
        pos: place of the last entry that was delivered, or where it began.
        attempt: failed attempts at the next one.
        due: Unix seconds of the next attempt; 0 if there is nothing to try again.
        said: how the last attempt ended.
        created: Unix seconds.
        secret: ``whsec_`` and base64; said once, when it is made.
    """

    id: str
    url: str
    filter: dict[str, object]
    state: str
    pos: int
    attempt: int
    due: int
    said: str | None
    created: int
    secret: str | None = None


@dataclass(frozen=True, kw_only=True)
class Tested:
    """How a test ended: the HTTP status that came back, or None; and in words."""

    status: int | None
    said: str


@dataclass(frozen=True, kw_only=True)
class WebhookList:
    """The webhooks of an account, oldest first."""

    items: tuple[Webhook, ...]


def outgoing_of(service: Service) -> Outgoing:
    """Return what sends to the addresses that users give, by the service's settings."""
    return Outgoing(allow_private=service.options.allow_private_webhooks)


def make_hook(service: Service, account: Address, body: NewWebhook) -> Webhook:
    """Make a webhook after checking that its URL may be reached and its filter can be asked.

    Raises:
        Problem: it may not, cannot, or the account has too many.
    """
    try:
        outgoing_of(service).check(body.url)
    except (InputError, RefusedError, UnavailableError) as exc:
        raise Problem("bad-body", str(exc), parameter="url") from exc
    text = pack_filter(body.filter)
    try:
        # Asked once, so that what cannot be asked is found now.
        begin = place(service.audit.events(query_of(text)).at.block, MAX_LOG)
    except InputError as exc:
        raise Problem("bad-body", str(exc), parameter="filter") from exc
    except NotFoundError as exc:
        raise Problem("not-ready", "the index is empty") from exc
    hook = Hook(
        id=secrets.token_hex(16),
        account=account,
        url=body.url,
        filter=text,
        secret=secrets.token_bytes(32),
        pos=begin,
        state=ACTIVE,
        attempt=0,
        failing=None,
        due=0,
        said=None,
        created=service.now(),
    )
    with state_of(service).write() as writer:
        (count,) = writer.rows("SELECT count(*) FROM service_webhooks WHERE account = ?", (account,))[0]
        if count >= MAX_HOOKS:
            raise Problem("conflict", f"an account has at most {MAX_HOOKS} webhooks")
        hook.insert(writer)
    return _shown(hook, secret="whsec_" + base64.b64encode(hook.secret).decode())


async def post_webhook(call: Call) -> Answer:
    """Make a webhook."""
    made = await call.service.thread(make_hook, call.service, call.signed_in, call.body)
    return Answer(value=made, status=201, headers={"location": f"/v1/webhooks/{made.id}"})


async def get_webhooks(call: Call) -> Answer:
    """List the webhooks of the account."""
    found = await call.service.thread(read_hooks, state_of(call.service), call.signed_in)
    return Answer(value=WebhookList(items=tuple(_shown(hook) for hook in found)))


async def get_webhook(call: Call) -> Answer:
    """Show a webhook."""
    return Answer(value=_shown(await _hook(call)))


async def delete_webhook(call: Call) -> Answer:
    """Delete a webhook."""
    hook = await _hook(call)
    await call.service.thread(_delete, state_of(call.service), hook)
    return Answer(value=None, status=204)


async def post_test(call: Call) -> Answer:
    """Send a test now; one that is answered with 2xx wakes a paused webhook."""
    hook, service = await _hook(call), call.service
    hooks = Hooks.of(service)
    status, said = await service.thread(hooks.test, hook)
    if hook.state == PAUSED and status is not None and 200 <= status < 300:
        await service.thread(hooks.wake, hook)
    return Answer(value=Tested(status=status, said=said))


async def _hook(call: Call) -> Hook:
    found = await call.service.thread(find_hook, state_of(call.service), call.signed_in, call.path["id"])
    if found is None:
        raise Problem("not-found", "there is no such webhook of this account")
    return found


def _delete(state: State, hook: Hook) -> None:
    with state.write() as writer:
        writer.execute("DELETE FROM service_webhooks WHERE id = ?", (hook.id,))


def _shown(hook: Hook, *, secret: str | None = None) -> Webhook:
    return Webhook(
        id=hook.id,
        url=hook.url,
        filter=json.loads(hook.filter),
        state=hook.state,
        pos=hook.pos,
        attempt=hook.attempt,
        due=hook.due if hook.attempt else 0,
        said=hook.said,
        created=hook.created,
        secret=secret,
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        method="POST",
        path="/v1/webhooks",
        handler=post_webhook,
        name="post_webhook",
        summary="Be told of entries; the answer has the secret, once",
        tag="webhooks",
        body=NewWebhook,
        answer=Webhook,
        problems=("conflict", "not-ready"),
        signed_in=True,
        idempotent=True,
        status=201,
    ),
    Endpoint(
        method="GET",
        path="/v1/webhooks",
        handler=get_webhooks,
        name="list_webhooks",
        summary="The account's webhooks",
        tag="webhooks",
        answer=WebhookList,
        signed_in=True,
    ),
    Endpoint(
        method="GET",
        path="/v1/webhooks/{id}",
        handler=get_webhook,
        name="get_webhook",
        summary="One webhook, and how its last delivery ended",
        tag="webhooks",
        answer=Webhook,
        problems=("not-found",),
        signed_in=True,
    ),
    Endpoint(
        method="DELETE",
        path="/v1/webhooks/{id}",
        handler=delete_webhook,
        name="delete_webhook",
        summary="Delete a webhook",
        tag="webhooks",
        problems=("not-found",),
        signed_in=True,
        status=204,
    ),
    Endpoint(
        method="POST",
        path="/v1/webhooks/{id}/test",
        handler=post_test,
        name="test_webhook",
        summary="Send a test now; success wakes a paused webhook",
        tag="webhooks",
        answer=Tested,
        problems=("not-found",),
        signed_in=True,
        idempotent=True,
    ),
)
"""What this module serves."""
