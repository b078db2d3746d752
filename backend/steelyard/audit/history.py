"""A verified trail as a history to read: event names, fields by name, enumerations by their names."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from steelyard.audit.entry import Entry
from steelyard.audit.events import Decoded, Field
from steelyard.audit.verify import Verified
from steelyard.domain.types import Address, AssetKind, OfferKind, Role, Scope
from steelyard.errors import TrailError, VerificationError

Plain: TypeAlias = "str | bool | list[Plain] | dict[str, Plain]"
"""A value for people and for JSON: integers are decimal strings, since amounts exceed what JSON numbers
hold."""

_ENUMS: Final[Mapping[str, type[enum.IntEnum]]] = {
    "enum IAssets.Kind": AssetKind,
    "enum IAssets.Role": Role,
    "enum IOffers.Kind": OfferKind,
    "enum ILicences.Scope": Scope,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEvent:
    """One entry, decoded.

    Attributes:
        index: among the entries of the bundle, from 0.
        block: block number.
        time: Unix seconds.
        contract: who recorded it.
        build: name of that contract.
        name: of the event.
        subject: asset or node, 32 bytes.
        id: what it is about, 32 bytes.
        id_name: what the event calls that, such as ``version``.
        actor: who called.
        fields: the other fields, by name.
        tx: transaction hash, 32 bytes; a hint unless ``tx_proved``.
        tx_proved: whether a receipt proof covers the entry.
    """

    index: int
    block: int
    time: int
    contract: Address
    build: str
    name: str
    subject: bytes
    id: bytes
    id_name: str
    actor: Address
    fields: Mapping[str, Plain]
    tx: bytes
    tx_proved: bool


def history(verified: Verified) -> tuple[HistoryEvent, ...]:
    """Return the entries of a verified bundle, decoded, in their order.

    Raises:
        TrailError: the data of an entry does not fit its event; a known build cannot log that.
    """
    return tuple(
        _decode(verified, index, entry, proved=index in verified.places)
        for index, entry in enumerate(verified.entries)
    )


def _decode(verified: Verified, index: int, entry: Entry, *, proved: bool) -> HistoryEvent:
    contract = verified.contract(entry.contract)
    event = contract.build.events[entry.event]
    try:
        values = event.decode(entry)
    except VerificationError as exc:
        raise TrailError(f"entry {index} of {contract}: {exc}") from exc
    return HistoryEvent(
        index=index,
        block=entry.block,
        time=entry.time,
        contract=entry.contract,
        build=contract.build.name,
        name=event.name,
        subject=entry.subject,
        id=entry.id,
        id_name=event.indexed[1].name,
        actor=entry.actor,
        fields={field.name: _plain(field, values[field.name]) for field in event.fields},
        tx=entry.tx,
        tx_proved=proved,
    )


def _plain(field: Field, value: Decoded) -> Plain:
    if isinstance(value, dict):
        return {part.name: _plain(part, value[part.name]) for part in field.components}
    if isinstance(value, bool | str):
        return value
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple):
        return [_plain(Field(name="", type="", internal="", components=()), item) for item in value]
    names = _ENUMS.get(field.internal)
    if names is not None and value in set(names):
        return names(value).name.lower()
    return str(value)
