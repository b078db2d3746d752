"""A wrapper that keeps secret bytes out of logs, tracebacks, pickles and comparisons that leak time."""

from __future__ import annotations

import hmac
from typing import NoReturn, final

from steelyard.errors import InputError


@final
class Secret:
    """32 secret bytes: a seed, a scalar (big-endian) or a content key.

    Every textual form is ``***``. The bytes come out only through :meth:`reveal` and :meth:`scalar`, so a
    reader can search for the places where they do. Python cannot promise to wipe memory, and this class does
    not pretend to.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # a hash of a secret in a table would leak it by timing

    def __init__(self, value: bytes) -> None:
        """Wrap ``value``.

        Raises:
            InputError: it is not exactly 32 bytes. The message does not repeat it.
        """
        if len(value) != 32:
            raise InputError("a secret must be exactly 32 bytes")
        self._value = bytes(value)

    @classmethod
    def from_scalar(cls, value: int) -> Secret:
        """Wrap an integer as 32 big-endian bytes.

        Raises:
            InputError: it is negative or above 2^256-1.
        """
        if not 0 <= value < 1 << 256:
            raise InputError("a secret scalar must fit in 32 bytes")
        return cls(value.to_bytes(32, "big"))

    def reveal(self) -> bytes:
        """Return the 32 bytes."""
        return self._value

    def scalar(self) -> int:
        """Return the bytes as a big-endian integer."""
        return int.from_bytes(self._value, "big")

    def __repr__(self) -> str:
        """Return ``***``."""
        return "***"

    def __format__(self, spec: str) -> str:
        """Return ``***`` whatever the format."""
        return "***"

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Refuse to be pickled or copied by pickling."""
        raise TypeError("a Secret cannot be pickled")
