"""What a reader tells of a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

CODE: Final = "+code"
"""Ends the declared format of a file that runs code when it is loaded."""
MAX_TENSORS: Final = 100_000
"""Most tensors of a file."""
MAX_LISTED: Final = 4096
"""Most tensors that a report names; the others are counted."""
MAX_PARAMETERS: Final = (1 << 63) - 1
_MAX_NAME: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor, column, input or output.

    Attributes:
        name: as the file has it, cut to 512 characters.
        dtype: as the file's format names it, lower case.
        shape: sizes; a name or ``?`` where a size is open. Empty for a scalar.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """Bytes of another file that a model needs.

    Attributes:
        path: relative to the folder of the file that names it, as it stands there.
        end: the other file must have so many bytes at least.
    """

    path: str
    end: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatReport:
    """What a file is, by its content.

    Attributes:
        format: name of the format, such as ``safetensors``; ``text`` or ``binary`` where none is recognised.
        code: why loading it runs code that its maker chose; None if it does not.
        tensors: tensors or columns, at most MAX_LISTED of them.
        count: how many there are.
        parameters: numbers in all tensors; None where the format does not say.
        inputs: of a graph.
        outputs: of a graph.
        versions: of the format, opset or writer, by name.
        external: other files that it needs.
        notes: what a reader should know besides.
    """

    format: str
    code: str | None = None
    tensors: tuple[Tensor, ...] = ()
    count: int = 0
    parameters: int | None = None
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    external: tuple[External, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def declared(self) -> str:
        """The format as a manifest declares it: with ``+code`` behind it if loading it runs code."""
        return self.format if self.code is None else self.format + CODE


def runs_code(declared: str) -> bool:
    """Whether a declared format says that loading the file runs code."""
    return declared.endswith(CODE)


def shown(text: str) -> str:
    """Return a name from a file, cut to 512 characters."""
    return text[:_MAX_NAME]


def elements(shape: Iterable[int | str]) -> int:
    """Return how many numbers a shape holds; open sizes count as 0. At most 2^63 - 1."""
    total = 1
    for size in shape:
        total *= size if isinstance(size, int) else 0
        if total > MAX_PARAMETERS:
            return MAX_PARAMETERS
    return total
