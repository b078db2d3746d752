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
    members,
    names,
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
from steelyard.formats.window import Source, Window

HEAD: Final = 4096
_UTF16: Final = (b"\xff\xfe", b"\xfe\xff")
_UNREAD: Final = "programs read it because of its name, and it cannot be read as that here"

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
    window.keep()
    found = _look(window, name)
    expected = names.expected(name)
    if found.code is not None or expected is None or found.format in expected or not window.size:
        return found
    if expected == ("yaml",) and window.at(0, min(window.size, 2)) not in _UTF16:
        return replace(found, code=plain.tags(window))  # of what is no UTF-8 a part may be read
    return found if _is_apple(window) else replace(found, code=_UNREAD)


def _is_apple(window: Window) -> bool:
    """Whether this is what macOS keeps beside a file and names alike (``._model.keras``). Source: RFC 1740, AppleDouble."""
    return window.at(0, min(window.size, 4)) == b"\0\x05\x16\x07"


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
    head = window.inner(found.data)
    first = pickles.first_of(head)
    if not found.whole and (first.cut or tars.claims(head, found.data[:HEAD])):
        found = _unpacked(window, coat, coats.DEEPER) or found
        head = window.inner(found.data)
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
    notes = () if found.whole else ("only the beginning of what is inside was looked at",)
    if tars.claims(head, data[:HEAD]):
        inside = _read_tar(head, part=not found.whole)
        return replace(inside, format=f"tar+{coat}", notes=(*notes, *inside.notes))
    if numpys.claims(head, data[:HEAD]):
        return FormatReport(format=f"npy+{coat}", code=numpys.why(head), notes=notes)
    return FormatReport(format=coat, notes=notes)


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
    if found.code is not None:
        return found
    sizes = {name: entry.size for name, entry in archive.entries.items() if not is_read(name)}
    code, notes = members.code_of(archive.window, sizes, archive.begin, look)
    return replace(found, code=code, notes=(*found.notes, *notes))


def _tar(window: Window) -> FormatReport:
    return _read_tar(window, part=False)


def _read_tar(window: Window, *, part: bool) -> FormatReport:
    places = {name: (start, size) for name, start, size in tars.members(window, part=part)}
    if part and not places:
        raise FormatError(f"it is a compressed tar, and no file begins in its first {window.size} bytes")

    def begin(name: str, _: int) -> Window:
        start, size = places[name]
        return window.sub(start, min(size, window.size - start))

    code, notes = members.code_of(window, {name: size for name, (_, size) in places.items()}, begin, look)
    return FormatReport(format="tar", code=code, notes=notes)


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
