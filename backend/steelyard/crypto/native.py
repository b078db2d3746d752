"""The optional accelerator: the digests of one chunk in one call of native code, outside the interpreter's lock.

``native/leaves.c`` is compiled at set-up, or when the wheel is built, and lies beside this file. Where it is not there, the processor
lacks the instructions, or it gives a wrong answer, there is none, and :mod:`steelyard.crypto.leaves` does the same in Python. It
is never fetched or compiled at run time.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ctypes

FILE: Final = Path(__file__).with_name("leaves.native")
"""The compiled library. Not ``.so``: it is no module, and Python would take it for one."""

_MESSAGE: Final = bytes(range(256)) * 16 + b"tail"


class Accelerator:
    """The functions of the library. The caller has checked every length."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Declare the arguments."""
        import ctypes

        text, size, number = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64
        self._buffer = ctypes.create_string_buffer
        self._leaves, self._root, self._pair = (
            library.steelyard_leaves,
            library.steelyard_root,
            library.steelyard_pair,
        )
        self._leaves.argtypes = (text, text, size, number, text, text, text)
        self._root.argtypes = (text, size, number, text, text)
        self._pair.argtypes = (text, text, size, text)
        for function in (self._leaves, self._root, self._pair):
            function.restype = None

    def leaves(
        self, plaintext: bytes, ciphertext: bytes, *, first: int, leaves: int, salting: bytes
    ) -> tuple[bytes, bytes]:
        """Return the leaf list, 32 bytes a leaf, and the chunk root.

        Args:
            plaintext: of the chunk, 1 to 1,048,576 bytes.
            ciphertext: at least as many bytes; what is beyond them is not read.
            first: index of the chunk's first leaf.
            leaves: their number.
            salting: what precedes the index in a salt, 54 bytes.
        """
        salted, root = self._buffer(32 * leaves), self._buffer(32)
        self._leaves(plaintext, ciphertext, len(plaintext), first, salting, salted, root)
        return salted.raw, root.raw

    def root(self, ciphertext: bytes, salted: bytes, *, first: int) -> bytes:
        """Return the chunk root of ciphertext (1 to 1,048,576 bytes) and its part of the leaf list (32 bytes a leaf)."""
        root = self._buffer(32)
        self._root(ciphertext, len(ciphertext), first, salted, root)
        return root.raw

    def pair(self, one: bytes, other: bytes, length: int) -> tuple[bytes, bytes]:
        """Return the SHA-256 of the first ``length`` bytes of two messages, in little more than the time of one."""
        digests = self._buffer(64)
        self._pair(one, other, length, digests)
        return digests.raw[:32], digests.raw[32:]


def load(path: Path = FILE) -> Accelerator | None:
    """Return the accelerator in a file, or None if it cannot be used here."""
    if not path.is_file():
        return None
    import ctypes  # takes some milliseconds, and most commands hash nothing

    try:
        library = ctypes.CDLL(str(path))
        if not library.steelyard_supported():
            return None
        found = Accelerator(library)
    except (OSError, AttributeError):
        return None
    expected = hashlib.sha256(_MESSAGE).digest(), hashlib.sha256(_MESSAGE[::-1]).digest()
    return found if found.pair(_MESSAGE, _MESSAGE[::-1], len(_MESSAGE)) == expected else None


@cache
def accelerator() -> Accelerator | None:
    """Return the accelerator of this installation, or None; looked for once."""
    return load()
