"""The description of the service, OpenAPI 3.1, made of the very values that route (docs/api.md)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version as package_version
from typing import Any, Final

from steelyard.api.fields import fields_of
from steelyard.api.problem import CODES, MEDIA_TYPE
from steelyard.api.route import Answer, Call, Endpoint
from steelyard.api.schema import ADDRESS, REF, Schema, Schemas

PATH: Final = "/v1/openapi.json"
_NAME: Final = re.compile(r"\{([a-z_]+)\}", re.ASCII)
_ID: Final[Schema] = {"type": "string", "pattern": "^0x[0-9a-fA-F]{64}$"}
PARAMETERS: Final[Mapping[str, Schema]] = {
    "account": {"type": "string", "pattern": ADDRESS},
    "asset": {**REF, "description": "an id, 0x<creator>/<name>, or eip155:...; percent-encoded"},
    "version": {
        **REF,
        "description": "an id, or a reference to an asset with @ and a number, percent-encoded",
    },
    "offer": _ID,
    "purchase": _ID,
    "channel": _ID,
    "pos": {"type": "integer", "minimum": 0, "maximum": (1 << 53) - 1},
    "cid": {"type": "string", "pattern": "^b[a-z2-7]{58}$"},
    "id": {"type": "string", "maxLength": 64},
    "name": {"type": "string", "maxLength": 1024},
    "path": {"type": "string", "maxLength": 1024, "description": "names joined by /, percent-encoded"},
}
"""Schemas of the parameters of paths, by name."""
EXAMPLES: Final[Mapping[str, str | int]] = {
    "account": "0x" + "00" * 19 + "01",
    "asset": "0x" + "01" * 32,
    "version": "0x" + "02" * 32,
    "offer": "0x" + "03" * 32,
    "purchase": "0x" + "04" * 32,
    "channel": "0x" + "05" * 32,
    "pos": 1_048_576,
    "cid": "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    "name": "manifest.json",
}
_ALWAYS: Final = (
    "bad-parameter",
    "not-acceptable",
    "timeout",
    "too-many-requests",
    "headers-too-large",
    "internal",
    # A session that is sent and does not hold is told of everywhere.
    "not-signed-in",
    "session-ended",
)
"""Codes that every endpoint may answer with."""
_BODY: Final = ("bad-body", "too-large", "unsupported-media-type")
_ONCE: Final = ("idempotency-busy", "idempotency-mismatch")
_ENTRY_HEADERS: Final[Schema] = {
    "ETag": {"schema": {"type": "string"}, "description": "changes with the block and the question"},
    "Link": {"schema": {"type": "string"}, "description": "the next page, rel=next"},
}


def document(endpoints: Sequence[Endpoint], *, url: str = "/") -> dict[str, Any]:
    """Return the description.

    Args:
        endpoints: all of them.
        url: of the service.
    """
    schemas = Schemas()
    paths: dict[str, dict[str, Any]] = {}
    for item in endpoints:
        paths.setdefault(item.path, {})[item.method.lower()] = _operation(item, schemas)
    schemas.components["Problem"] = _problem()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Steelyard",
            "version": package_version("steelyard"),
            "summary": "A market for model weights: its trail, and what is needed to act on it",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": url}],
        "tags": [{"name": name} for name in dict.fromkeys(item.tag for item in endpoints)],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "securitySchemes": {
                "session": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Sign-in with Ethereum: POST /v1/session",
                }
            },
        },
    }


def codes_of(endpoint: Endpoint) -> tuple[str, ...]:
    """Return all codes that an endpoint may answer with."""
    found = [*_ALWAYS, *endpoint.problems]
    if endpoint.body is not None or endpoint.method != "GET":
        found += _BODY
    if endpoint.idempotent:
        found += _ONCE
    return tuple(dict.fromkeys(found))


def endpoint(others: Sequence[Endpoint]) -> Endpoint:
    """Return the endpoint that gives the description of all others and itself."""

    @cache
    def made(url: str) -> dict[str, Any]:
        return document((*others, itself), url=url)

    async def get_openapi(call: Call) -> Answer:
        return Answer(value=made(call.service.options.public_url))

    itself = Endpoint(
        method="GET",
        path=PATH,
        handler=get_openapi,
        name="get_openapi",
        summary="This description, OpenAPI 3.1",
        tag="service",
        answer=dict[str, object],
    )
    return itself


def _operation(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": endpoint.name,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": _parameters(endpoint, schemas),
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.body is not None:
        made["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas.body(endpoint.body)}},
        }
    elif endpoint.raw is not None:
        made["requestBody"] = {"required": True, "content": {endpoint.raw: {"schema": {}}}}
    if endpoint.signed_in:
        made["security"] = [{"session": []}]
    return made


def _parameters(endpoint: Endpoint, schemas: Schemas) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in _NAME.findall(endpoint.path):
        item: dict[str, Any] = {
            "name": name,
            "in": "path",
            "required": True,
            "schema": dict(PARAMETERS[name]),
        }
        if name in EXAMPLES:
            item["example"] = EXAMPLES[name]
        found.append(item)
    for field in () if endpoint.query is None else fields_of(endpoint.query):
        schema = schemas.value(field.kind, name=field.name, text=True)
        if field.many:
            schema = {"type": "array", "items": schema, "maxItems": 32}
        found.append({"name": field.name, "in": "query", "required": field.required, "schema": schema})
    if endpoint.idempotent:
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"}
        found.append({"name": "Idempotency-Key", "in": "header", "schema": schema})
    return found


def _responses(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    good: dict[str, Any] = {"description": endpoint.summary}
    media, schema = "application/json", None
    if isinstance(endpoint.answer, str):
        media, schema = endpoint.answer, {}
    elif endpoint.answer is not None:
        schema = schemas.out(endpoint.answer)
    if schema is not None and endpoint.status != 204:
        good["content"] = {media: {"schema": schema}}
    responses: dict[str, Any] = {str(endpoint.status): good}
    for status in endpoint.also:
        responses[str(status)] = {"description": endpoint.summary}
        if schema is not None:
            responses[str(status)]["content"] = {media: {"schema": {}}}
    if endpoint.method == "GET" and not endpoint.signed_in:
        if media == "application/json":
            good["headers"] = _ENTRY_HEADERS
        responses["304"] = {"description": "as with this entity tag"}
    if "range-not-satisfiable" in endpoint.problems:
        responses["206"] = {**good, "description": "the range that was asked for"}
    by_status: dict[int, list[str]] = {}
    for code in codes_of(endpoint):
        by_status.setdefault(CODES[code][0], []).append(code)
    for status, codes in sorted(by_status.items()):
        responses[str(status)] = {
            "description": ", ".join(f"`{code}`" for code in codes),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return responses


def _problem() -> Schema:
    return {
        "type": "object",
        "description": "What was not done, and why (RFC 9457)",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string", "enum": list(CODES)},
            "parameter": {"type": "string"},
            "contract_error": {"type": "string"},
            "retry_after": {"type": "integer"},
            "instance": {"type": "string"},
        },
        "required": ["type", "title", "status", "code"],
    }
