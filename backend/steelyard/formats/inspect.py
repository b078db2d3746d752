"""What a file is, by its content: every reader is asked, and no file may be two things."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from steelyard.errors import FormatError
from steelyard.formats import (
    arrow,
    coats,
    gguf,
    hdf5,
    keras,
    numpys,
    onnx,
    parquet,
    pickles,
    plain,
    pytorch,
    safetensors,
    savedmodel,
    skops,
    tars,
    tflite,
    zips,
)
from steelyard.formats.report import FormatReport
from steelyard.formats.window import Memory, Source, Window

HEAD: Final = 4096
_LOOKED_AT: Final = 2000
"""Most files of an archive that are looked into, but for pictures and the like."""
_MEMBER: Final = 4 << 20
"""Most bytes of a compressed file in an archive that are unpacked to look at it."""
_UNPACKED: Final = 64 << 20
"""The same of all of them together."""
_PART: Final = 64 << 10
"""Bytes that are looked at of those that are larger."""
# Files that may run code; they are looked into before others.
_FIRST: Final = (
    ".npz",
    ".npy",
    ".pkl",
    ".pickle",
    ".joblib",
    ".pt",
    ".pth",
    ".ckpt",
    ".bin",
    ".h5",
    ".hdf5",
    ".keras",
    ".pb",
)

Claim = Callable[[Window, bytes], bool]
Read = Callable[[Window], FormatReport]


def inspect(source: Source, size: int, *, name: str = "") -> FormatReport:
    """Tell what a file is. Reads headers alone, in constant memory, and runs nothing.

    Args:
        source: the file.
        size: its bytes.
        name: its name; tells texts apart, and files that loaders read because of their name.

    Raises:
        FormatError: it is damaged, its headers declare what cannot be, or it is valid as two formats.
    """
    return look(Window(source, size), name)


def look(window: Window, name: str = "") -> FormatReport:
    """Tell what a window shows; see :func:`inspect`.

    Raises:
        FormatError: as of :func:`inspect`.
    """
    found = _look(window, name)
    expected = _expected(name)
    if found.code is None and expected is not None and found.format not in expected:
        return replace(found, code="programs read it because of its name, and it cannot be read as that here")
    return found


def _expected(name: str) -> tuple[str, ...] | None:
    """Return what a file has to be that is read because of its name; None if it is not."""
    base = name.rsplit("/", 1)[-1].lower()  # some file systems find a file whatever the case
    return _BY_NAME.get(base, _BY_NAME.get(base[base.rfind(".") :]))


def _look(window: Window, name: str) -> FormatReport:
    head = window.at(0, min(window.size, HEAD))
    first = pickles.first_of(window)
    claimed = [(form, read) for form, claims, read in _READERS if claims(window, head)]
    if pickles.is_pickle(first, window.size):
        if claimed or plain.by_magic(head):
            other = claimed[0][0] if claimed else "another format"
            raise FormatError(
                f"it is both a pickle and {other}: two programs would read two different things"
            )
        return _pickle(window, first)
    if len(claimed) > 1:
        raise FormatError(
            f"it is both {claimed[0][0]} and {claimed[1][0]}: two programs would read two different things"
        )
    if claimed:
        return claimed[0][1](window)
    coat = coats.coat_of(head)
    if coat == "zstd" and coats.needs_dictionary(head):
        return FormatReport(format=coat, notes=("what is inside is not looked at",))
    if coat is not None:
        found = _coated(window, coat)
        if found is not None:
            return found
    found = plain.by_magic(head)
    if found is not None:
        return found
    return plain.text(window, name) if plain.is_text(window) else FormatReport(format="binary")


def _pickle(window: Window, first: pickles.Pickle) -> FormatReport:
    if pytorch.is_legacy(first):
        return pytorch.read_legacy(window, first)
    form = "joblib" if any(name.startswith("joblib.") for name in first.names) else "pickle"
    return FormatReport(format=form, code=pickles.why(first), versions=(("protocol", str(first.protocol)),))


def _coated(window: Window, coat: str) -> FormatReport | None:
    """Return what a compressed file is; None if its first bytes were chance."""
    found = _unpacked(window, coat, coats.HEAD)
    if found is None:
        return None
    head = Window(Memory(found.data), len(found.data))
    first = pickles.first_of(head)
    if first.cut and not found.whole:
        found = _unpacked(window, coat, coats.DEEPER) or found
        head = Window(Memory(found.data), len(found.data))
        first = pickles.first_of(head)
    data = found.data
    likely = coats.is_likely(window.at(0, min(window.size, coats.HEADER)))
    if not data and window.size > coats.DEEPER and likely:
        raise FormatError(f"it begins as {coat} does, and nothing is in its first {coats.DEEPER} bytes")
    # Cut off where the looking ended: so what would act counts, whether it ends or not.
    if pickles.is_pickle(first, len(data), part=not found.whole):
        inner = "joblib" if any(name.startswith("joblib.") for name in first.names) else "pickle"
        return FormatReport(format=f"{inner}+{coat}", code=pickles.why(first))
    objects = plain.objects(data)
    if objects is not None:
        return replace(objects, format=f"{objects.format}+{coat}")
    if coat in coats.WEAK and not (data and found.sound and likely):
        return None
    code, notes = None, ("only the beginning of what is inside was looked at",)
    if tars.claims(head, data[:HEAD]):
        code = _tar_code(head)
        return FormatReport(format=f"tar+{coat}", code=code, notes=notes)
    if numpys.claims(head, data[:HEAD]):
        return FormatReport(format=f"npy+{coat}", code=numpys.read_head(data[: numpys.MAX_HEAD]), notes=notes)
    return FormatReport(format=coat, code=code, notes=notes)


def _unpacked(window: Window, coat: str, most: int) -> coats.Unpacked | None:
    try:
        return coats.unpacked(window, coat, most)
    except FormatError:
        if coat in coats.WEAK and not window.spent:
            return None
        raise


def _zip(window: Window) -> FormatReport:
    archive = zips.open_archive(window)
    torch = pytorch.pickle_name(archive)
    if torch is not None:
        return pytorch.read_archive(archive, torch)
    if pytorch.is_export(archive):
        return pytorch.read_export()
    found = keras.read_archive(archive)
    if found is not None:
        return _with_members(found, archive, is_read=keras.is_read)
    if skops.is_archive(archive):
        found = skops.read_archive(archive)
        if found is not None:
            return _with_members(found, archive, is_read=skops.is_read)
    if archive.entries and all(name.endswith(".npy") for name in archive.entries):
        return numpys.read_archive(archive)
    return _with_members(FormatReport(format="zip"), archive)


def _with_members(
    found: FormatReport, archive: zips.Archive, *, is_read: Callable[[str], bool] = lambda _: False
) -> FormatReport:
    """Return a report that also knows what the files of an archive would run; but for those that were read."""
    notes, looked_at, left = dict.fromkeys(found.notes), 0, _UNPACKED
    for name in sorted(
        archive.entries, key=lambda name: (not name.lower().endswith(_FIRST), archive.entries[name].size)
    ):
        if found.code is not None:
            break
        entry = archive.entries[name]
        if is_read(name) or plain.is_media(name, archive.head(name, 16)):
            continue
        if looked_at >= _LOOKED_AT:
            notes[f"only the first {_LOOKED_AT} files in it were looked at"] = None
            break
        looked_at += 1
        inner = archive.open(name)
        whole = inner is not None or entry.size <= min(_MEMBER, left)
        if inner is None:
            size = entry.size if whole else _PART
            data = archive.head(name, size)
            archive.window.step(len(data) // 1024)
            left -= len(data)
            inner = archive.window.inner(data)
        if not whole and pickles.first_of(inner).cut:
            archive.window.step(coats.DEEPER // 64)
            inner = archive.window.inner(archive.head(name, coats.DEEPER))
        if not whole:
            notes["of large compressed files in it only the beginning was looked at"] = None
        found = replace(found, code=_code_of(inner, name, whole=whole))
    return replace(found, notes=tuple(notes))


def _tar(window: Window) -> FormatReport:
    code, notes, looked_at = None, list[str](), 0
    for name, start, size in tars.members(window):
        inner = window.sub(start, size)
        if code is not None or plain.is_media(name, inner.at(0, min(size, 16))):
            continue
        if looked_at < _LOOKED_AT:
            code = _code_of(inner, name, whole=True)
        else:
            notes = [f"only the first {_LOOKED_AT} files in it were looked at"]
        looked_at += 1
    return FormatReport(format="tar", code=code, notes=tuple(notes))


def _tar_code(window: Window) -> str | None:
    """Return why one of the first files of a tar, of which this is the beginning, runs code.

    Raises:
        FormatError: no file is in it so far.
    """
    code, seen = None, False
    for name, start, size in tars.members(window, part=True):
        seen = True
        inner = window.sub(start, min(size, window.size - start))
        code = code or _code_of(inner, name, whole=inner.size == size)
    if not seen and window.size >= coats.HEAD:
        raise FormatError(f"it is a compressed tar, and no file begins in its first {window.size} bytes")
    return code


def _code_of(inner: Window, name: str, *, whole: bool) -> str | None:
    """Return why a file within an archive, or the beginning of it, runs code."""
    try:
        why = look(inner, name).code if whole else _code_of_part(inner, name)
    except FormatError as exc:
        if inner.spent:
            raise
        if plain.is_inert(inner):
            return None  # whatever is wrong with such a text, no loader acts upon it
        raise FormatError(f"{name[:80]!a} in it: {exc}") from exc
    return f"{name[:80]!a} in it: {why}" if why else None


def _code_of_part(inner: Window, name: str) -> str | None:
    head = inner.at(0, min(inner.size, HEAD))
    first = pickles.first_of(inner)
    if pickles.is_pickle(first, inner.size, part=True):
        return pickles.why(first)
    magic = plain.by_magic(head)
    if magic is not None and magic.code:
        return magic.code
    if numpys.claims(inner, head):
        return numpys.read_head(inner.at(0, min(inner.size, numpys.MAX_HEAD)))
    if plain.kind_of(name) == "yaml" and (code := plain.tags(inner)):
        return code
    if head[:4] == b"PK\x03\x04" or head[:8] == hdf5.MAGIC or _expected(name) not in (None, ("yaml",)):
        return "it may, and is compressed and larger than what is looked at here"
    return None


_ZIPS: Final = ("zip", "npz", "skops", "keras", "pytorch", "torchscript", "pytorch-export")
# Read because of their names, by loaders that are less strict than we are; and the formats that they have here, if any.
_BY_NAME: Final[dict[str, tuple[str, ...]]] = {
    "saved_model.pb": ("tf-savedmodel",),
    "saved_model.pbtxt": (),
    "saved_model.cpb": (),
    "keras_metadata.pb": ("keras-metadata",),
    ".keras": ("keras", "keras-hdf5"),
    ".zip": _ZIPS,
    ".skops": _ZIPS,
    ".yaml": ("yaml",),
    ".yml": ("yaml",),
    ".rds": (),
    ".rda": (),
    ".rdata": (),
    ".nemo": (),
    ".mar": (),
    ".pt2": (),
}
_READERS: Final[tuple[tuple[str, Claim, Read], ...]] = (
    ("safetensors", safetensors.claims, safetensors.read),
    ("onnx", onnx.claims, onnx.read),
    ("tf-savedmodel", savedmodel.claims, savedmodel.read),
    ("keras-metadata", savedmodel.claims_layers, savedmodel.read_layers),
    ("tf-graph", savedmodel.claims_graph, savedmodel.read_graph),
    ("tf-metagraph", savedmodel.claims_meta, savedmodel.read_meta),
    ("tf-checkpoint-index", savedmodel.claims_index, savedmodel.read_index),
    ("gguf", gguf.claims, gguf.read),
    ("hdf5", hdf5.claims, keras.read_hdf5),
    ("zip", zips.claims, _zip),
    ("npy", numpys.claims, numpys.read),
    ("parquet", parquet.claims, parquet.read),
    ("tflite", tflite.claims, tflite.read),
    ("arrow", arrow.claims, arrow.read),
    ("arrow-stream", arrow.claims_stream, arrow.read_stream),
    ("tar", tars.claims, _tar),
)
