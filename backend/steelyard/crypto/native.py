"""The optional accelerator: the digests of one chunk in one call of native code, outside the interpreter's lock.

``native/leaves.c`` is compiled at set-up, or when the wheel is built, and lies beside this file. Where it is not there, the processor
lacks the instructions, or it gives a wrong answer, there is none, and :mod:`steelyard.crypto.leaves` does the same in Python. It
is never fetched or compiled at run time.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from steelyard.crypto.content import LEAF_SIZE, SALT_LABEL, chunk_root, salted_hash
from steelyard.crypto.secret import Secret

if TYPE_CHECKING:
    import ctypes

FILE: Final = Path(__file__).with_name("leaves.native")
"""The compiled library. Not ``.so``: it is no module, and Python would take it for one."""

_KEY: Final = bytes(range(32))
_MESSAGE: Final = bytes(range(256)) * 16 + b"tail"


class Accelerator:
    """The functions of the library. The caller has checked every length."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Declare the arguments."""
        import ctypes

        text, size, number = ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64
        self._buffer = ctypes.create_string_buffer
        self._leaves, self._root = library.steelyard_leaves, library.steelyard_root
        self._leaves.argtypes = (text, text, size, number, text, text, text, text)
        self._root.argtypes = (text, size, number, text, text)
        self._leaves.restype = self._root.restype = None

    def leaves(
        self,
        plaintext: bytes,
        ciphertext: bytes,
        *,
        first: int,
        leaves: int,
        salting: bytes,
        block: bool = True,
    ) -> tuple[bytes, bytes, bytes]:
        """Return the leaf list, 32 bytes a leaf, the chunk root, and the SHA-256 of the ciphertext.

        The last costs half of what it would alone: it has the words of its schedule in common with the leaves.

        Args:
            plaintext: of the chunk, 1 to 1,048,576 bytes.
            ciphertext: at least as many bytes; what is beyond them is not read.
            first: index of the chunk's first leaf.
            leaves: their number.
            salting: what precedes the index in a salt, 54 bytes.
            block: whether the last is wanted; else it is empty.
        """
        salted, root = self._buffer(32 * leaves), self._buffer(32)
        third = self._buffer(32) if block else None
        self._leaves(plaintext, ciphertext, len(plaintext), first, salting, salted, root, third)
        return salted.raw, root.raw, third.raw if third is not None else b""

    def root(self, ciphertext: bytes, salted: bytes, *, first: int) -> bytes:
        """Return the chunk root of ciphertext (1 to 1,048,576 bytes) and its part of the leaf list (32 bytes a leaf)."""
        root = self._buffer(32)
        self._root(ciphertext, len(ciphertext), first, salted, root)
        return root.raw


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
    return found if _is_right(found) else None


def _is_right(found: Accelerator) -> bool:
    """Compare one full leaf and a short one with what defines them."""
    key, parts = Secret(_KEY), (_MESSAGE[:LEAF_SIZE], _MESSAGE[LEAF_SIZE:])
    salted = b"".join(salted_hash(key, 256 + place, part) for place, part in enumerate(parts))
    root = chunk_root(1, ciphertext=_MESSAGE, salted=salted)
    own = found.leaves(_MESSAGE, _MESSAGE, first=256, leaves=2, salting=SALT_LABEL + _KEY)
    return (
        own == (salted, root, sha256(_MESSAGE).digest()) and found.root(_MESSAGE, salted, first=256) == root
    )


@cache
def accelerator() -> Accelerator | None:
    """Return the accelerator of this installation, or None; looked for once."""
    return load()
