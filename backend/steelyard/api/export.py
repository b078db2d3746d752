"""Exports: whole lists out of one snapshot, and the histories of assets (docs/index.md, "Exports")."""

from __future__ import annotations

import dataclasses
import tempfile
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal

from starlette.responses import Response

from steelyard.api.fields import read_asset
from steelyard.api.limits import Counts, caller_of
from steelyard.api.pieces import LARGE, Pieces, compressed, gathered
from steelyard.api.problem import Problem
from steelyard.api.reply import takes_gzip
from steelyard.api.route import Call, Endpoint, Handler
from steelyard.api.service import Service
from steelyard.query.export import export_list
from steelyard.query.model import AssetQuery, EventQuery, ObligationQuery, PaymentQuery

TYPES: Final = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}
"""Media types by format."""
HISTORIES: Final[dict[str, Literal["prov", "bundle"]]] = {"prov.json": "prov", "bundle.json": "bundle"}
EACH: Final = 2
"""Exports of one caller at a time: each holds a snapshot."""
TOGETHER: Final = 16


def without(kind: type, name: str, *left_out: str) -> type:
    """Return a dataclass with the fields of another, but for some."""
    hints = typing.get_type_hints(kind)
    kept = [
        (item.name, hints[item.name], dataclasses.field(default=item.default))
        for item in dataclasses.fields(kind)
        if item.name not in left_out
    ]
    made = dataclasses.make_dataclass(name, kept, frozen=True, slots=True, kw_only=True)
    made.__doc__ = f"Filters of an export: all fields of ``{kind.__name__}`` but {', '.join(left_out)}."
    return made


_LISTS: Final[dict[str, type[Any]]] = {
    "events": EventQuery,
    "payments": PaymentQuery,
    "assets": AssetQuery,
    "obligations": ObligationQuery,
}
_FILTERS: Final = {
    name: without(kind, f"{kind.__name__.removesuffix('Query')}Filter", "cursor", "limit", "facets")
    for name, kind in _LISTS.items()
}


def _list_handler(name: str, form: str) -> Handler:
    kind = _LISTS[name]

    async def get_list(call: Call) -> Response:
        given = call.query
        question = kind(**{item.name: getattr(given, item.name) for item in dataclasses.fields(given)})

        def lines() -> Iterator[bytes]:
            return gathered(export_list(call.service.audit, question, format=form))

        return await _answer(call, lines, media=TYPES[form], file=f"{name}.{form}")

    return get_list


def _history_handler(form: Literal["prov", "bundle"]) -> Handler:
    async def get_history(call: Call) -> Response:
        asset = read_asset(call.service, "asset", call.path["asset"])
        ref = f"0x{asset.hex()}"

        def pieces() -> Iterator[bytes]:
            return _history(call.service, ref, form)

        return await _answer(call, pieces, media="application/json", file=f"{ref}.{form}.json")

    return get_history


def _history(service: Service, ref: str, form: Literal["prov", "bundle"]) -> Iterator[bytes]:
    """Yield a history that was collected from the chain just now, and verified."""
    from steelyard.service.trail import export

    with tempfile.TemporaryDirectory(prefix="steelyard-") as folder:
        path = export(service.context, ref, Path(folder) / "export.json", format=form)
        with path.open("rb") as file:
            while piece := file.read(LARGE):
                yield piece


async def _answer(call: Call, make: Callable[[], Iterator[bytes]], *, media: str, file: str) -> Response:
    service = call.service
    caller = caller_of(call.request.scope["client"], call.request.scope["headers"], service.options.proxies)
    counts = _counts(service)
    if not counts.enter(caller):
        raise Problem("too-many-requests", "too many exports are under way", retry_after=10)
    headers = {
        "content-type": media,
        "content-disposition": f'attachment; filename="{file}"',
        "vary": "accept-encoding",
    }
    pieces = make()
    if takes_gzip(call.request.headers.get("accept-encoding", "").encode("latin-1")):
        headers["content-encoding"] = "gzip"
        pieces = compressed(pieces)
    response = Pieces(service, pieces, headers=headers, done=lambda: counts.leave(caller))
    try:
        # What cannot be asked is a problem, so the first piece is made before anything is sent.
        if call.request.method != "HEAD":
            response.first(await service.thread(next, pieces, b""))
    except BaseException:
        await response.close()
        raise
    return response


def _counts(service: Service) -> Counts:
    if service.exports is None:
        service.exports = Counts(each=EACH, together=TOGETHER)
    return service.exports


def _endpoint(path: str, handler: Handler, name: str, summary: str, media: str, **more: Any) -> Endpoint:
    return Endpoint(
        method="GET",
        path=path,
        handler=handler,
        name=name,
        summary=summary,
        tag="export",
        answer=media,
        **more,
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    *(
        _endpoint(
            f"/v1/export/{name}.{form}",
            _list_handler(name, form),
            f"export_{name}_{form}",
            f"All {name} that match, of one snapshot",
            TYPES[form],
            query=_FILTERS[name],
            problems=("bad-reference", "not-found", "not-ready"),
        )
        for name in _LISTS
        for form in TYPES
    ),
    *(
        _endpoint(
            f"/v1/export/{{asset}}.{suffix}",
            _history_handler(form),
            f"export_{form}",
            {"prov": "An asset's verified history, W3C PROV-JSON", "bundle": "An asset's proof bundle"}[form],
            "application/json",
            problems=("bad-reference", "not-found", "not-ready", "chain-unavailable"),
        )
        for suffix, form in HISTORIES.items()
    ),
)
