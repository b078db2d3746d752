"""The fields of entries that are not indexed: their names, as values and, straight from the words of the ABI, as JSON."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from steelyard.domain.abi import Value, decode, split_types
from steelyard.domain.events import TYPES, USE, EventType
from steelyard.domain.metering import METERED_TERMS
from steelyard.domain.plain import AMOUNTS, MAX_NUMBER, checksum
from steelyard.domain.types import POINT, TERMS, VERSION, AssetKind, OfferKind, Role, Scope, Stage
from steelyard.errors import TrailError, VerificationError

KINDS: Final = tuple(TYPES.values())
"""``events.kind`` by index."""
KIND_OF: Final[Mapping[str, int]] = {kind.name: index for index, kind in enumerate(KINDS)}

_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    POINT: ("x", "y"),
    VERSION: ("asset", "folder", "contentRoot", "size", "scheme", "key", "node"),
    TERMS: (
        *("seller", "currency", "price", "bond", "kind", "scope", "transferable", "revocable", "period"),
        *("renewUntil", "supply", "deliverWithin", "window", "allowList", "text", "salt", "version"),
    ),
    METERED_TERMS: (
        *("payee", "currency", "price", "unit", "version", "node", "window", "inFlight", "expiry"),
        *("text", "salt"),
    ),
    USE: ("channel", "amount", "units", "sequence", "receiptsRoot"),
}
"""Names in the structs, by their types."""
_WORDS: Final[Mapping[tuple[str, str], type[enum.IntEnum]]] = {
    ("AssetRegistered", "kind"): AssetKind,
    ("RoleSet", "role"): Role,
    ("StageMoved", "from"): Stage,
    ("StageMoved", "to"): Stage,
    (TERMS, "kind"): OfferKind,
    (TERMS, "scope"): Scope,
}
"""Numbers that are shown as words, by event or struct and name."""
_IDS: Final = frozenset((("KeyRequested", "licence"),))
"""Numbers that are ids, and shown as such."""


class Fields(Mapping[str, object]):
    """The fields of an entry, decoded when they are first asked for: most lists never do."""

    __slots__ = ("_data", "_kind", "_values")

    def __init__(self, kind: int, data: bytes) -> None:
        """Remember the kind (``events.kind``) and the ABI encoding."""
        self._kind = kind
        self._data = data
        self._values: dict[str, object] | None = None

    def __getitem__(self, name: str) -> object:
        """Return a field.

        Raises:
            TrailError: the data does not fit the event.
        """
        return self._decoded()[name]

    def __iter__(self) -> Iterator[str]:
        """Return the names."""
        return iter(KINDS[self._kind].names)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(KINDS[self._kind].names)

    def __repr__(self) -> str:
        """Return the decoded fields."""
        return repr(self._decoded())

    def _decoded(self) -> dict[str, object]:
        if self._values is None:
            kind = KINDS[self._kind]
            try:
                values = decode(kind.types, self._data)
                self._values = _named(kind.name, kind.names, kind.types, values)
            except (VerificationError, ValueError) as exc:  # ValueError: a number that has no word
                raise TrailError(f"the index holds a false {kind.name}: {exc}") from exc
        return self._values


def _named(
    owner: str, names: tuple[str, ...], types: tuple[str, ...], values: tuple[Value, ...]
) -> dict[str, object]:
    return {
        name: _value(owner, name, type_, value)
        for name, type_, value in zip(names, types, values, strict=True)
    }


def _value(owner: str, name: str, type_: str, value: Value) -> object:
    if isinstance(value, tuple):
        if type_.endswith("[]"):
            return [_value(owner, name, type_[:-2], item) for item in value]
        return _named(type_, _MEMBERS[type_], split_types(type_[1:-1]), value)
    word = _WORDS.get((owner, name))
    if word is not None:
        assert isinstance(value, int)
        return word(value).name.lower()
    if (owner, name) in _IDS:
        assert isinstance(value, int)
        return value.to_bytes(32, "big")
    return value


# -- as JSON ---------------------------------------------------------------------------------------------------


class _Word(NamedTuple):
    """A word of the encoding: its bits that must be zero, what stands for it in a template, and what is put there.

    ``value`` is a function of C wherever there is one: a call of Python's for each word would be half of the time.
    """

    zero: int
    mark: str = '"0x%s"'
    value: Callable[[bytes], object] = bytes.hex
    start: int = 0  # bytes of the word that are passed over: zeros


class Form:
    """How the fields of one kind of event are written where each has its place: a template, and the value of each word."""

    __slots__ = ("_size", "_template", "_values", "_zero")

    def __init__(self, kind: EventType) -> None:
        """Lay the words out."""
        parts = list(_layout(kind.name, kind.names, kind.types))
        words = [part for part in parts if isinstance(part, _Word)]
        self._template = "".join(part if isinstance(part, str) else part.mark for part in parts)
        self._values = tuple(
            (slice(32 * at + word.start, 32 * at + 32), word.value) for at, word in enumerate(words)
        )
        self._size = 32 * len(words)
        self._zero = int.from_bytes(b"".join(word.zero.to_bytes(32, "big") for word in words), "big")

    def write(self, data: bytes) -> str | None:
        """Return the fields as a JSON object; None if the data is no strict encoding of them."""
        if len(data) != self._size or int.from_bytes(data, "big") & self._zero:
            return None
        try:
            return self._template % tuple([value(data[place]) for place, value in self._values])
        except KeyError:  # a number that has no word
            return None


def _layout(owner: str, names: tuple[str, ...], types: tuple[str, ...]) -> Iterator[str | _Word]:
    yield "{"
    for place, (name, type_) in enumerate(zip(names, types, strict=True)):
        yield f'{"," if place else ""}"{name}":'
        if type_ in _MEMBERS:
            yield from _layout(type_, _MEMBERS[type_], split_types(type_[1:-1]))
        else:
            yield _word(owner, name, type_)
    yield "}"


def _word(owner: str, name: str, type_: str) -> _Word:
    if type_ == "bool":
        return _Word(_above(1), "%s", {b"\0": "false", b"\1": "true"}.__getitem__, 31)
    if type_ == "address":
        return _Word(_above(160), '"%s"', checksum, 12)
    if type_ == "bytes32" or (owner, name) in _IDS:
        return _Word(0)
    bits = int(type_.removeprefix("uint"))
    words, start = _WORDS.get((owner, name)), 32 - bits // 8
    if words is not None:
        names = {word.to_bytes(bits // 8, "big"): word.name.lower() for word in words}
        return _Word(_above(bits), '"%s"', names.__getitem__, start)
    if name in AMOUNTS:
        return _Word(_above(bits), '"%d"', int.from_bytes, start)
    if 1 << bits <= MAX_NUMBER:
        return _Word(_above(bits), "%d", int.from_bytes, start)
    return _Word(_above(bits), "%s", _number, start)


def _above(bits: int) -> int:
    return (1 << 256) - (1 << bits)


def _number(word: bytes) -> str:
    number = int.from_bytes(word, "big")
    return str(number) if number < MAX_NUMBER else f'"{number}"'


def _is_placed(type_: str) -> bool:
    return not type_.endswith("]") and type_ not in ("bytes", "string")


FORMS: Final = tuple(Form(kind) if all(map(_is_placed, kind.types)) else None for kind in KINDS)
"""By ``events.kind``; None where there is a list or a text."""
