"""Which form of an answer a client of the trustless gateway wants: a block, or an archive and its order.

Source: specs.ipfs.tech/http-gateways/trustless-gateway (Accept, format, car-version, car-order, car-dups),
RFC 9110 section 12.5.1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RAW = "raw"
CAR = "car"

_TYPES = {"application/vnd.ipld.raw": RAW, "application/vnd.ipld.car": CAR}
_QUALITY = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)", re.ASCII)
_MAX_ACCEPT = 8192


@dataclass(frozen=True)
class Form:
    """The form of an answer.

    Attributes:
        kind: RAW or CAR.
        repeat: in an archive, a block that is linked again is sent again.
    """

    kind: str
    repeat: bool = False

    @property
    def content_type(self) -> str:
        """Value of ``Content-Type``."""
        if self.kind == RAW:
            return "application/vnd.ipld.raw"
        return f"application/vnd.ipld.car; version=1; order=dfs; dups={'y' if self.repeat else 'n'}"


def choose(query: Mapping[str, str], accept: Sequence[str]) -> Form | None:
    """Return the form that is served, or None if none is wanted that can be.

    Args:
        query: of the URL; its ``format`` and ``car-*`` come before the header.
        accept: values of the header ``Accept``.
    """
    offers = _offers(accept)
    kind = query.get("format")
    if kind is not None:
        if kind not in (RAW, CAR):
            return None
        offers = [(kind, options) for named, options in offers if named == kind] or [(kind, {})]
    given = {name: query[f"car-{name}"] for name in ("version", "order", "dups") if f"car-{name}" in query}
    forms = (_form(named, {**options, **given}) for named, options in offers)
    return next((form for form in forms if form is not None), None)


def _form(kind: str, options: Mapping[str, str]) -> Form | None:
    if kind == RAW:
        return Form(RAW)
    known = options.get("version", "1") == "1" and options.get("order", "dfs") in ("dfs", "unk")
    if not known or options.get("dups", "n") not in ("y", "n"):
        return None
    return Form(CAR, repeat=options.get("dups") == "y")


def _offers(accept: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Return (kind, parameters) of what we serve in the header, the most wanted first."""
    found: list[tuple[float, str, dict[str, str]]] = []
    for item in ",".join(accept)[:_MAX_ACCEPT].split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        options = dict(_option(part) for part in rest if part)
        quality = options.pop("q", "1")
        kind = _TYPES.get(name.lower())
        if kind is not None and _QUALITY.fullmatch(quality) and float(quality) > 0:
            found.append((-float(quality), kind, options))
    return [(kind, options) for _, kind, options in sorted(found, key=lambda offer: offer[0])]


def _option(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.strip().lower(), value.strip().strip('"').lower()
