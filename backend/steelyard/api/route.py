"""One endpoint of the service as a value: what serves it and what OpenAPI says of it come from the same place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.types import Receive, Scope

from steelyard.domain.types import Address

if TYPE_CHECKING:
    from starlette.responses import Response

    from steelyard.api.service import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, checked.

    Attributes:
        service: what all endpoints work on.
        path: parameters of the path, percent-decoded.
        query: parameters of the query, as the endpoint's ``query`` type; None if it has none.
        body: the body, as the endpoint's ``body`` type; None if it has none, or reads ``request`` itself.
        account: who is signed in, or None.
        scope: ASGI's, of the request.
        receive: brings the body.
    """

    service: Service
    path: Mapping[str, str]
    query: Any
    body: Any
    account: Address | None
    scope: Scope
    receive: Receive

    @property
    def signed_in(self) -> Address:
        """Who is signed in, for endpoints that need a session."""
        assert self.account is not None
        return self.account

    @property
    def request(self) -> Request:
        """The request itself, for headers and streamed bodies; made anew each time, for few endpoints look at it."""
        return Request(self.scope, self.receive)


Handler = Callable[[Call], Awaitable["Answer | Response"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an endpoint answers, before it is JSON.

    Attributes:
        value: a frozen dataclass, mapping or sequence; written by the rules of docs/api.md, "Form".
        status: HTTP status.
        headers: further headers.
    """

    value: object
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path.

    Attributes:
        method: GET, POST, PUT or DELETE.
        path: such as ``/v1/assets/{asset}``.
        handler: does it.
        name: operation id, unique: ``get_asset``.
        summary: one line.
        tag: group in the description.
        query: frozen dataclass of the query's parameters, or None.
        body: frozen dataclass of the JSON body, or None.
        raw: media type of a body that is not JSON and that the handler reads, or None.
        answer: type of ``Answer.value``, or a media type as text.
        problems: codes that it can answer with, besides those of every endpoint.
        signed_in: whether it needs a session.
        idempotent: whether it takes ``Idempotency-Key``.
        max_body: most bytes of a body.
        by_bytes: limited by the bytes of its bodies, for each account, and not by how often it is asked; needs a session.
        status: HTTP status when all went well.
        also: further statuses that say so, such as 202 while it goes on; their bodies are described in words only.
    """

    method: str
    path: str
    handler: Handler
    name: str
    summary: str
    tag: str
    query: type | None = None
    body: type | None = None
    raw: str | None = None
    answer: Any = None
    problems: tuple[str, ...] = ()
    signed_in: bool = False
    idempotent: bool = False
    max_body: int = 65_536
    by_bytes: bool = False
    status: int = 200
    also: tuple[int, ...] = ()
