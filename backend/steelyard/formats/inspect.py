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
_MEMBER: Final = 64 << 10

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
    base = name.rsplit("/", 1)[-1].lower()  # some file systems find a file whatever the case
    expected = _BY_NAME.get(base, _BY_NAME.get(base[base.rfind(".") :]))
    if found.code is None and expected is not None and found.format not in expected:
        return replace(found, code="programs read it because of its name, and it cannot be read as that here")
    return found


def _look(window: Window, name: str) -> FormatReport:
    head = window.at(0, min(window.size, HEAD))
    first = pickles.follow(window)
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
    first = pickles.follow(head)
    if first.cut and not found.whole:
        found = _unpacked(window, coat, coats.DEEPER) or found
        head = Window(Memory(found.data), len(found.data))
        first = pickles.follow(head)
    data = found.data
    if not data and window.size > coats.DEEPER:
        raise FormatError(f"it begins as {coat} does, and nothing is in its first {coats.DEEPER} bytes")
    # Cut off where the looking ended: so what would act counts, whether it ends or not.
    if pickles.is_pickle(first, len(data), part=not found.whole):
        inner = "joblib" if any(name.startswith("joblib.") for name in first.names) else "pickle"
        return FormatReport(format=f"{inner}+{coat}", code=pickles.why(first))
    objects = plain.objects(data)
    if objects is not None:
        return replace(objects, format=f"{objects.format}+{coat}")
    if coat in coats.WEAK and not (data and found.sound):
        return None
    code, notes = None, ("only the beginning of what is inside was looked at",)
    if tars.claims(head, data[:HEAD]):
        code = _tar_code(head)
        return FormatReport(format=f"tar+{coat}", code=code, notes=notes)
    if numpys.claims(head, data[:HEAD]):
        raise FormatError(f"it is an array within {coat}, which NumPy does not read")
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
    found = keras.read_archive(archive)
    if found is not None:
        return _with_members(found, archive)
    if skops.is_archive(archive):
        found = skops.read_archive(archive)
        if found is not None:
            return _with_members(found, archive)
    if archive.entries and all(name.endswith(".npy") for name in archive.entries):
        return numpys.read_archive(archive)
    return _with_members(FormatReport(format="zip"), archive)


def _with_members(found: FormatReport, archive: zips.Archive) -> FormatReport:
    """Return a report that also knows of pickles and programs among the files of an archive."""
    if found.code is not None:
        return found
    for number, (name, entry) in enumerate(archive.entries.items()):
        if number >= _LOOKED_AT:
            return _replace(found, f"only the first {_LOOKED_AT} files in it were looked at", None)
        inner = archive.open(name) or archive.window.inner(archive.head(name, _MEMBER))
        if inner.size < entry.size and pickles.follow(inner).cut:
            archive.window.step(coats.DEEPER // 64)
            inner = archive.window.inner(archive.head(name, coats.DEEPER))
        why = _member_code(inner, name, part=inner.size < entry.size)
        if why:
            return _replace(found, "", why)
    return found


def _tar(window: Window) -> FormatReport:
    code, number = None, 0
    for number, (name, start, size) in enumerate(tars.members(window)):
        if code is None and number < _LOOKED_AT:
            code = _member_code(window.sub(start, size), name)
    notes = (f"only the first {_LOOKED_AT} files in it were looked at",) if number >= _LOOKED_AT else ()
    return FormatReport(format="tar", code=code, notes=notes)


def _tar_code(window: Window) -> str | None:
    """Return why one of the first files of a tar, of which this is the beginning, runs code."""
    for name, start, size in tars.members(window, part=True):
        inner = window.sub(start, min(size, window.size - start))
        why = _member_code(inner, name, part=inner.size < size)
        if why:
            return why
    return None


def _member_code(inner: Window, name: str, *, part: bool = False) -> str | None:
    """Return why a file within an archive, or the part of it that is here, runs code."""
    head = inner.at(0, min(inner.size, HEAD))
    first = pickles.follow(inner)
    if pickles.is_pickle(first, inner.size, part=part):
        return f"{name[:80]!a} in it: {pickles.why(first)}"
    magic = plain.by_magic(head)
    if magic is not None and magic.code:
        return f"{name[:80]!a} in it: {magic.code}"
    if numpys.claims(inner, head):
        code = numpys.read_head(head)
        return f"{name[:80]!a} in it: {code}" if code else None
    if plain.kind_of(name) == "yaml" and (code := plain.tags(inner)):
        return f"{name[:80]!a} in it: {code}"
    if head[:4] == b"PK\x03\x04" and b"/data.pkl" in head:
        return f"{name[:80]!a} in it is a PyTorch archive, which holds a pickle"
    return None


def _replace(found: FormatReport, note: str, code: str | None) -> FormatReport:
    notes = (*found.notes, note) if note else found.notes
    return replace(found, code=code or found.code, notes=notes)


# Read because of their names, by loaders that are less strict than we are; and the formats that they have here, if any.
_BY_NAME: Final[dict[str, tuple[str, ...]]] = {
    "saved_model.pb": ("tf-savedmodel",),
    "saved_model.pbtxt": (),
    "saved_model.cpb": (),
    "keras_metadata.pb": ("keras-metadata",),
    ".keras": ("keras", "keras-hdf5"),
    ".yaml": ("yaml",),
    ".yml": ("yaml",),
    ".rds": (),
    ".rda": (),
    ".rdata": (),
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
