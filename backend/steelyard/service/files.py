"""Files and folders that only their owner can read."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steelyard.errors import InputError, RefusedError


def write_private(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Write a file that only its owner can read, whole or not at all.

    Raises:
        RefusedError: it exists, and is not to be replaced.
        InputError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if replace:
                os.replace(temporary, path)
            else:
                os.link(temporary, path)  # unlike a rename, fails if the name is taken
        finally:
            temporary.unlink(missing_ok=True)
        _sync(path.parent)
    except FileExistsError as exc:
        raise RefusedError(f"{path} exists, and is not overwritten") from exc
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}") from exc


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Say of an error of the file system where it was; ``place`` if it does not know itself.

    Raises:
        InputError: something cannot be written.
    """
    try:
        yield
    except ConnectionError:
        raise  # of somebody who no longer reads what he is told
    except OSError as exc:
        raise InputError(f"cannot write {exc.filename or place}: {exc.strerror}") from exc


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can enter, with those above it, and return it.

    Raises:
        InputError: it cannot be made.
    """
    try:
        for folder in (*reversed(path.parents), path):
            if not folder.exists():
                folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as exc:
        raise InputError(f"cannot make the folder {path}: {exc.strerror}") from exc
    return path


def _sync(folder: Path) -> None:
    """Put a folder's names on the disk: a file that is there must be there after a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
