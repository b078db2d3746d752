"""One call of the RPC, and its answer, without HTTP around them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from steelyard.errors import InputError
from steelyard.storage.cid import CID, parse_cid
from steelyard.storage.embedded import EmbeddedStore
from steelyard.storage.multipart import Body, Form, Part

_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


@dataclass(frozen=True)
class Call:
    """One call of a method.

    Attributes:
        store: what it works on.
        arguments: values of ``arg``, in order.
        options: the other query parameters.
        body: of the request.
        content_type: of the body.
    """

    store: EmbeddedStore
    arguments: list[str]
    options: dict[str, str]
    body: Body
    content_type: str

    def flag(self, name: str, default: bool) -> bool:
        """Return a yes-or-no option, spelt as Go reads it.

        Raises:
            InputError: it is spelt otherwise.
        """
        value = self.options.get(name)
        if value is None or value in _TRUE or value in _FALSE:
            return default if value is None else value in _TRUE
        raise InputError(f"option {name} must be true or false, not {value[:40]!r}")

    def number(self, name: str) -> int | None:
        """Return an option that is a whole number of at most 18 digits, or None if it is absent.

        Raises:
            InputError: it is something else.
        """
        value = self.options.get(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) <= 18):
            raise InputError(f"option {name} must be a whole number, not {value[:40]!r}")
        return int(value)

    def target(self) -> CID:
        """Return the block that the one argument names, by a CID or a path.

        Raises:
            InputError: not one argument, or malformed.
            NotFoundError: the path leads nowhere.
        """
        if len(self.arguments) != 1:
            raise InputError(f"one argument is needed, not {len(self.arguments)}")
        return resolve(self.store, self.arguments[0])

    def targets(self) -> list[CID]:
        """Return the blocks that the arguments name, at least one.

        Raises:
            InputError: none, or malformed.
            NotFoundError: a path leads nowhere.
        """
        if not self.arguments:
            raise InputError("an argument is needed")
        return [resolve(self.store, argument) for argument in self.arguments]

    def parts(self) -> Iterator[Part]:
        """Yield the parts of the form in the body.

        Raises:
            InputError: there is none, or it is malformed.
        """
        return Form(self.body, self.content_type).parts()


@dataclass(frozen=True)
class Reply:
    """What a method returns.

    Attributes:
        content_type: of the answer.
        pieces: its bytes; an error while they are made cuts the answer off.
        length: bytes in all, if known beforehand.
        live: the pieces are made while the request's body is read, and each is sent at once.
    """

    content_type: str
    pieces: Iterable[bytes]
    length: int | None = None
    live: bool = False


def json_reply(*values: object) -> Reply:
    """Return an answer of these values, one a line."""
    data = b"".join(map(line, values))
    return Reply("application/json", (data,), len(data))


def line(value: object) -> bytes:
    """Return one line of an answer."""
    return json.dumps(value).encode("utf-8") + b"\n"


def resolve(store: EmbeddedStore, argument: str) -> CID:
    """Follow a CID or a path.

    Raises:
        InputError: it is malformed.
        NotFoundError: it leads nowhere.
    """
    root, _, path = argument.removeprefix("/ipfs/").partition("/")
    return store.resolve(parse_cid(root), path.rstrip("/"))
