"""Archives as their readers read them: Python's ``zipfile`` and ``tarfile``, PyTorch's miniz, and the loaders of what is in them."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.errors import FormatError
from steelyard.formats import hdf5, hdf5_heaps, numpys, zips
from steelyard.formats.inspect import inspect
from steelyard.formats.report import FormatReport
from steelyard.formats.window import Memory, Window
from tests.hostile import groups
from tests.hostile.cases import patched, zipped
from tests.support import torchlike
from tests.support.archives import CALL, other_name, tar_header, tar_member, two_tables

MAGIC = 0x1950A86A20F9469CFC6C
LONG = b"\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."
END = bytes(1024)
VECTORS = Path(__file__).parents[2] / "vectors" / "formats.zip"
MATLAB = b"MATLAB 7.3 MAT-file, Platform: x".ljust(124) + b"\0\2IM" + bytes(384)
LAMBDA = json.dumps({"class_name": "Lambda", "config": {}}).encode()


def look(data: bytes, name: str = "m.bin") -> FormatReport:
    return inspect(Memory(data), len(data), name=name)


def tarred(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT, size: int | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data) if size is None else size
            archive.addfile(info, io.BytesIO(data) if size is None else None)
    return out.getvalue()


# -- one table -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "data"), [*two_tables()], ids=lambda value: value if isinstance(value, str) else ""
)
def test_an_archive_in_which_readers_see_another_is_refused_or_told(what: str, data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.read("archive/data.pkl") == CALL
    if what == "with bytes around":
        assert look(data, "m.zip").code and look(data, "m.skops").code
    else:
        with pytest.raises(FormatError, match="behind the archive|64-bit|two end records"):
            look(data)


def test_an_end_record_of_64_bits_that_is_not_needed() -> None:
    """As PyTorch has miniz write it, whatever the archive's size."""
    data = torchlike.archive({"w": (2, 3)})
    assert data[-42:-38] == b"PK\6\7"
    assert look(data).declared == "pytorch+code" and look(data).tensors[0].shape == (2, 3)


def test_names_in_unicode() -> None:
    assert look(other_name("a.txt", "a.txt", b"x")).declared == "zip"
    with pytest.raises(FormatError, match="another name for some"):
        look(other_name("a.txt", "config.json", LAMBDA))
    for extra in (b"\2", b"\1abcd"):  # of another version, or of another first name
        data = other_name("a.txt", "b.json", LAMBDA)
        at = data.index(b"up", 40) + 4
        assert look(data[:at] + extra + data[at + len(extra) :]).declared == "zip"


@pytest.mark.parametrize("name", ["model/DATA.PKL", "model/Data.pkl"])
def test_pytorch_minds_no_case(name: str) -> None:
    many = {f"model/{number}": b"" for number in range(2000)}
    assert look(zipped(many | {name: CALL})).declared == "pytorch+code"


# -- pickles in a row ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [LONG + CALL, b"I%d\n." % MAGIC + CALL, b"L%dL\n." % MAGIC + b"I1001\n.}." + CALL, LONG + pickle.dumps(print, 2),
     b"I%d\n." % MAGIC + b"I1001\n." + b"}." + pickle.dumps({"a": 1}, 2)],
)  # fmt: skip
def test_pytorch_of_the_older_form_without_a_protocol(data: bytes) -> None:
    assert pickle.load(io.BytesIO(data)) == MAGIC
    for one in (data, zipped({"a": data}), tarred({"a": data}), gzip.compress(data)):
        assert look(one).code
    assert look(gzip.compress(LONG + b"T" + struct.pack("<I", 5 << 20) + bytes(5 << 20) + b"0" + CALL)).code


def test_texts_that_begin_as_pickles_do() -> None:
    for text in (b"N.B. this is a text.\n", b"I1\n.I2\n.I3\n.", b"N." * 50, b"N.cosmos\nis a word\n"):
        assert look(text).declared == "text"


# -- tar -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [{"checksum": "signed", "owner": b"\xe9"}, {"checksum": "binary"}, {"checksum": "+{:05o}\0 "}, {"checksum": "0o{:05o}\0"},
     {"checksum": " {:05o} "}],
    ids=str,
)  # fmt: skip
def test_checksums_as_python_reads_them(header: dict[str, Any]) -> None:
    data = tar_member(CALL, **header) + END
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        assert archive.extractfile("storages").read() == CALL  # type: ignore[union-attr]
    assert look(data).declared == "tar+code"


ODD = {
    "older folder under a long name": tar_member(b"a.txt\0", name=b"l", kind=b"L")
    + tar_header(b"d/", 512, kind=b"\0")
    + tar_member(CALL),
    "no name": tar_member(b"x", name=b"a") + tar_member(b"x", name=b"") + tar_member(CALL),
    "no name at first": tar_member(b"x", name=b"") + tar_member(CALL),
    "folder with bytes": tar_member(b"x", name=b"a") + tar_header(b"d/", 1024, kind=b"5") + tar_member(CALL),
    "older folder with bytes": tar_member(b"x", name=b"a")
    + tar_header(b"d/", 1024, kind=b"\0")
    + tar_member(CALL),
}


@pytest.mark.parametrize("what", ODD)
def test_what_python_reads_in_a_tar_and_others_may_not_is_refused(what: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(ODD[what] + END), mode="r:") as archive:
        assert archive.extractfile("storages").read() == CALL  # type: ignore[union-attr]
    with pytest.raises(FormatError, match="plain relative path|folder with bytes"):
        look(ODD[what] + END)


def test_members_of_eight_gigabytes() -> None:
    size = 9 << 30
    data = tarred({"large.bin": b""}, size=size)
    head = data[: data.index(b"large.bin", 1024) + 512]

    class Sparse:
        """The header, and zeros."""

        place = 0

        def seek(self, offset: int, whence: int = 0, /) -> int:
            self.place = offset
            return offset

        def read(self, count: int, /) -> bytes:
            found = head[self.place : self.place + count].ljust(count, b"\0")
            self.place += count
            return found

    assert look(bytes(5 << 20)).declared == "binary"
    assert inspect(Sparse(), len(head) + size + 1024).declared == "tar"


def extended(record: bytes) -> bytes:
    """Return a record of an extended header."""
    length = len(record) + 3
    length += len(str(length)) - 1
    return b"%d %b\n" % (length, record)


def test_sizes_in_extended_headers() -> None:
    def made(*headers: bytes, kind: bytes = b"x") -> bytes:
        before = b"".join(tar_member(extended(header), name=b"x", kind=kind) for header in headers)
        return before + tar_header(b"a", 3) + CALL[:12].ljust(512, b"\0") + END

    assert look(made(b"size=12")).declared == "tar"
    with tarfile.open(fileobj=io.BytesIO(made(b"size=12")), mode="r:") as archive:
        assert archive.extractfile("a").read() == CALL[:12]  # type: ignore[union-attr]
    for value in (b"+12", b"1_2", b"0x12", b" 12", b"", b"1" * 20):
        with pytest.raises(FormatError, match="no number"):
            look(made(b"size=" + value))
    with pytest.raises(FormatError, match="two extended"):
        look(made(b"size=12", b"size=12"))
    for record in (b"size=12", b"path=b"):
        with pytest.raises(FormatError, match="of all files"):
            look(made(record, kind=b"g"))


def test_a_tar_whose_last_file_is_an_archive() -> None:
    assert look(tarred({"a.txt": b"x", "b.zip": zipped({"a": b"x"})})).declared == "tar"
    assert look(tarred({"b.pt": torchlike.archive({"w": (1,)})})).declared == "tar+code"


def test_a_compressed_tar_of_headers() -> None:
    padded = b"".join(tar_header(b"d%d" % number, 0, kind=b"5") for number in range(9000))
    with pytest.raises(FormatError, match="no file begins in its first"):
        look(gzip.compress(padded + tar_member(CALL) + END))
    assert look(gzip.compress(padded[: 512 * 9] + tar_member(CALL) + END)).declared == "tar+gzip+code"
    behind = tarred({"a.dat": np.random.default_rng(1).bytes(300_000), "b.dat": CALL})
    assert look(gzip.compress(behind)).declared == "tar+gzip+code"


# -- what is in archives --------------------------------------------------------------------------------------------


MEMBERS = {
    "late.pt": zipped({"m/data/0": bytes(9000), "m/data.pkl": CALL}),
    "upper.pt": zipped({"m/DATA.PKL": CALL}),
    "m.keras": zipped({"config.json": LAMBDA}),
    "model.json": LAMBDA,
    "tokenizer_config.json": b'{"chat_template": "{{ x.__class__ }}"}',
    "saved_model.pbtxt": b"saved_model_schema_version: 1",
    "m.pkl.gz": gzip.compress(CALL),
    "t.yaml": b"a: !!python/module:os\n",
    "d/m.tar": tarred({"a": CALL}),
}


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_what_is_told_by_itself_is_told_in_an_archive(name: str, method: int) -> None:
    files = {"README.md": b"# x", name: MEMBERS[name]}
    for data in (zipped(files, method), tarred(files), zipped({"in.zip": zipped(files, method)})):
        assert name in str(look(data).code)
    assert look(gzip.compress(tarred(files))).declared == "tar+gzip+code"


LARGE = {
    "m.pkl.gz": gzip.compress(np.random.default_rng(2).bytes(5 << 20)),
    "m.joblib": zlib.compress(np.random.default_rng(3).bytes(5 << 20)),
    "m.tar": tarred({"a": np.random.default_rng(4).bytes(5 << 20)}),
    "tokenizer_config.json": b" " * (5 << 20),
    "chat_template.jinja": b" " * (5 << 20),
    "MLmodel": b" " * (5 << 20),
    "b.h5": bytes(512) + b"\x89HDF\r\n\x1a\n" + bytes(5 << 20),
    "b.dat": bytes(512) + b"\x89HDF\r\n\x1a\n" + bytes(5 << 20),
    "d.dat": tarred({"a": bytes(5 << 20)}),
    "z.bin": zlib.compress(np.random.default_rng(3).bytes(5 << 20)),
    "frozen.pb": bytes(5 << 20),
    "m.tflite": bytes(5 << 20),
}
BEGUN = {
    "a.yaml": b"a: !!python/module:os\n" + b"b: 1\n" * (1 << 20),
    "lib.so": b"\x7fELF" + bytes(5 << 20),
    "a.dat": np.lib.format.magic(1, 0)
    + b"\x76\0{'descr': '|O', 'fortran_order': False, 'shape': (2,), }".ljust(120)
    + bytes(5 << 20),
}


@pytest.mark.parametrize("name", LARGE)
def test_large_compressed_files_that_may_run_code(name: str) -> None:
    assert "larger than what is looked at" in str(
        look(zipped({name: LARGE[name]}, zipfile.ZIP_DEFLATED)).code
    )


@pytest.mark.parametrize("name", BEGUN)
def test_large_compressed_files_whose_beginning_tells(name: str) -> None:
    found = look(zipped({name: BEGUN[name]}, zipfile.ZIP_DEFLATED))
    assert found.code and "larger than what is looked at" not in found.code


def test_large_compressed_files_that_are_no_pickles() -> None:
    """What could go on as one for 64 KiB is followed further."""
    begun = b"X" + struct.pack("<I", 1 << 20) + bytes(1 << 20) + b"\xff" * (5 << 20)
    weak = zlib.compress(np.random.default_rng(3).bytes(5 << 20))
    for content in (begun, weak):
        assert look(zipped({"a.dat": content}, zipfile.ZIP_DEFLATED)).code is None


def test_unpacking_counts() -> None:
    texts = {f"{number}.txt": b"text" * (1 << 20) for number in range(60)}
    assert "only the first" in look(zipped(texts, zipfile.ZIP_DEFLATED)).notes[0]


def test_files_in_archives_in_archives_count() -> None:
    inner = zipped({f"{number}.txt": b"text" for number in range(1000)})
    assert "not looked at" in str(look(zipped({f"{number}.zip": inner for number in range(50)})).code)
    entries = zipped(dict.fromkeys((f"{number}" for number in range(70_000)), b""))
    outer = {"in.zip": entries} | dict.fromkeys((f"{number}" for number in range(60_000)), b"")
    with pytest.raises(FormatError, match="more values"):
        look(zipped(outer))


@pytest.mark.parametrize("name", ["m.zip", "m.h5", "m.keras", "x.nemo"])
def test_large_compressed_files_that_cannot_be_told(name: str) -> None:
    noise = np.random.default_rng(1).bytes(5 << 20)
    content = {"m.zip": zipped({"a": noise}), "m.h5": b"\x89HDF\r\n\x1a\n" + noise}.get(name, noise)
    assert "larger than what is looked at" in str(look(zipped({name: content}, zipfile.ZIP_DEFLATED)).code)
    harmless = look(zipped({"m.dat": noise}, zipfile.ZIP_DEFLATED))
    assert harmless.code is None and "only the beginning" in harmless.notes[0]


def test_a_damaged_file_in_an_archive_is_named() -> None:
    with pytest.raises(FormatError, match="'b.h5' in it: its addresses"):
        look(zipped({"b.h5": b"\x89HDF\r\n\x1a\n" + bytes(20)}))
    assert look(zipped({"b.json": b'{"a": 1, "a": 2}'})).declared == "zip"
    for text in (
        b'{"a": 1, "a": 2, "class_name": "Lambda"}',
        b'{"chat_template": ' + b"[" * 3000,
        b'{"a": 1, "a": "\\u0063"}',
    ):
        with pytest.raises(FormatError, match="'b.json' in it: its JSON"):
            look(zipped({"b.json": text}))


def test_pictures_do_not_count() -> None:
    pictures = {f"{number}.png": b"\x89PNG\r\n\x1a\n" + bytes(30) for number in range(2500)}
    for data in (zipped(pictures | {"z.dat": CALL}), tarred(pictures | {"z.dat": CALL})):
        assert look(data).code
    behind = b"\x89PNG\r\n\x1a\n" + bytes(504) + b"\x89HDF\r\n\x1a\n" + bytes(100)
    with pytest.raises(FormatError, match="'a.h5' in it: bytes stand before"):
        look(zipped({"a.h5": behind}))
    large = {f"{number}.txt": bytes([32 + number]) * (3 << 20) for number in range(30)}
    assert look(zipped(large | {"model.json": LAMBDA}, zipfile.ZIP_DEFLATED)).code
    texts = {f"{number}.txt": b"text" for number in range(2500)}
    assert "only the first 2000" in look(zipped(texts | {"z.dat": CALL})).notes[0]
    assert look(zipped(texts | {"z.pkl": CALL})).code


def test_models_are_looked_at_before_others() -> None:
    empty = {f"{number}.bin": b"" for number in range(2500)}
    texts = {f"{number}.txt": b"text" for number in range(2500)}
    large = dict.fromkeys((f"{number}.bin" for number in range(70)), b" " * (4 << 20))
    for name in (
        "tokenizer_config.json",
        "model.json",
        "m.pkl.gz",
        "chat_template.jinja",
        "d/m.tar",
        "MLmodel",
    ):
        content = (
            MEMBERS.get(name)
            or {"chat_template.jinja": b"{{ x.__class__ }}", "MLmodel": b"loader_module: own"}[name]
        )
        for data in (zipped(empty | texts | {name: content}), tarred(empty | texts | {name: content})):
            assert name in str(look(data).code)
    for name in ("tokenizer_config.json", "m.pkl.gz"):
        assert name in str(look(zipped(large | {name: MEMBERS[name]}, zipfile.ZIP_DEFLATED)).code)
    pickles = {f"{number}.pt": b"text" for number in range(2001)}
    assert "not looked at" in str(look(zipped(pickles)).code)


@pytest.mark.parametrize(
    "files",
    [
        dict.fromkeys((f"{number}.txt" for number in range(1700)), b"text\n" * 20_000),
        dict.fromkeys((f"{number}.dat" for number in range(1500)), b"\xff\xfb\x90\x44" + bytes(100_000)),
        dict.fromkeys((f"{number}.json" for number in range(60)), b"[" + b"1," * 2_200_000 + b"1]"),
        {f"{number}.txt.gz": gzip.compress(b"text %d" % number) for number in range(2000)},
        {f"{number:02}/{number}": zlib.compress(b"blob 5\0hello") for number in range(250)},
        dict.fromkeys(
            (f"{number}.csv.gz" for number in range(40)), gzip.compress(b"Time,x\n1,2\n" * 500_000)
        ),
    ],
    ids=["texts", "sound", "JSON", "gzip", "zlib", "CSV"],
)
def test_archives_of_many_honest_files(files: dict[str, bytes]) -> None:
    found = look(tarred(files))
    assert found.declared == "tar" and bool(found.notes) == ("0.json" in files)
    assert look(zipped(dict([*files.items()][:500]), zipfile.ZIP_DEFLATED)).declared == "zip"


def test_archives_in_archives_end() -> None:
    """However they are packed, all of them together are looked at under the limits of one file."""

    def nested(count: int, depth: int) -> bytes:
        data = CALL
        for _ in range(depth):
            data = gzip.compress(tarred({f"{number}": data for number in range(count)}), mtime=0)
        return data

    assert look(nested(1, 3)).declared == "tar+gzip+code"
    for data in (nested(1, 200), nested(6, 6)):
        with pytest.raises(FormatError, match="nested deeper than 8"):
            look(data)
    tiring = gzip.compress(b"N0" * 130_000 + b".x\n")
    with pytest.raises(FormatError, match="more values"):
        look(tarred({f"{number}": tiring for number in range(60)}))


def test_names_that_are_long() -> None:
    for length in range(90, 110):
        name = "d" * length + "/" + "e" * 60 + "/f.txt"
        for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            assert look(tarred({name: b"text"}, form)).declared == "tar"


def test_what_macos_keeps_beside_files() -> None:
    assert look(b"", "__init__.zip").code is None
    beside = b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(100)
    for name in ("__MACOSX/._config.yaml", "._m.zip", "._m.keras", "__init__.zip"):
        content = beside if "._" in name else b""
        assert look(zipped({"a.txt": b"x", name: content})).declared == "zip"
        assert look(tarred({"a.txt": b"x", name: content})).declared == "tar"


def test_what_is_behind_much_text_is_no_text() -> None:
    keras = b" " * 65_536 + zipped({"config.json": LAMBDA}, zipfile.ZIP_DEFLATED)
    pickled = b"(S'" + b"a" * 70_000 + b"'\n0" + CALL + zipped({"a": b"x"})
    for name, content in (("m.keras", keras), ("m.pkl", pickled)):
        for data in (zipped({name: content}), tarred({name: content})):
            with pytest.raises(FormatError, match="in it: "):
                look(data)


def test_keras_loads_pickles_of_numpy() -> None:
    """Up to Keras 3.8: ``NpzIOStore`` allows them."""
    weights = io.BytesIO()
    np.savez(weights, x=np.array({"a": 1}, dtype=object))
    files = {"config.json": b'{"class_name": "Dense", "config": {}}', "metadata.json": b"{}"}
    assert look(zipped(files), "m.keras").declared == "keras"
    assert look(zipped(files | {"model.weights.npz": weights.getvalue()}), "m.keras").declared == "keras+code"


@pytest.mark.parametrize("name", ["m/archive_format", "archive_format", "serialized_exported_program.json"])
def test_programs_of_torch_export(name: str) -> None:
    assert look(zipped({name: b"pt2"})).declared == "pytorch-export+code"


@pytest.mark.parametrize("name", ["m.nemo", "m.MAR", "m.pt2", "m.zip", "m.skops"])
def test_what_is_read_by_its_name(name: str) -> None:
    assert look(b"\xff\xfe\1" * 99, name).declared == "binary+code"
    assert (look(zipped({"a": b"x"}), name).code is None) == (name == "m.zip")


# -- arrays ---------------------------------------------------------------------------------------------------------


def test_arrays_of_many_fields() -> None:
    made = io.BytesIO()
    np.savez_compressed(made, x=np.zeros(2, dtype=[(f"field{number}", "f4") for number in range(300)]))
    assert look(made.getvalue()).declared == "npz"
    assert look(zipped({"a.npy": zipfile.ZipFile(made).read("x.npy"), "b": b"x"})).declared == "zip"


def test_several_arrays_under_a_coat() -> None:
    made = io.BytesIO()
    for dtype, declared in ((float, "npy+gzip"), ("i4", "npy+gzip"), (object, "npy+gzip+code")):
        np.save(made, np.zeros(2, dtype), allow_pickle=True)
        assert look(gzip.compress(made.getvalue())).declared == declared


def test_arrays_in_a_row() -> None:
    made = io.BytesIO()
    for dtype in (float, "i4", float):
        np.save(made, np.zeros((2, 3), dtype))
    found = look(made.getvalue())
    assert (found.declared, found.count, found.parameters) == ("npy", 3, 18)
    np.save(made, np.zeros(2, object), allow_pickle=True)
    assert look(made.getvalue()).declared == "npy+code"
    for bad in (made.getvalue()[:200] + b"x", np.lib.format.magic(1, 0) * 2):
        with pytest.raises(FormatError):
            look(bad)
    many = look(made.getvalue()[: 128 + 48] * 5000)
    assert many.count == 5000 and len(many.tensors) < 5000


# -- honest files -----------------------------------------------------------------------------------------------------


def test_vocabularies_of_brackets() -> None:
    words = {f"{'[{' * (number % 7 + 1)}{number}": number for number in range(3000)}
    assert look(json.dumps({"model": {"vocab": words}}).encode(), "tokenizer.json").declared == "json"
    for nested in (b"[" * 3000, b'{"a":' * 3000, b'["[",' * 3000, b'["\\"[",' * 3000):
        with pytest.raises(FormatError, match="nested too deeply"):
            look(nested, "tokenizer.json")


@pytest.mark.parametrize("pack", [lambda data: data, gzip.compress])
def test_pickles_of_many_lines(pack: Any) -> None:
    assert look(pack(pickle.dumps([*range(30_000)], 0))).code
    assert look(pack(b"# text\n" * 30_000)).code is None


@pytest.mark.parametrize(
    "first", [b"MONTH,N\n", b"NBA_team\n", b"(TOP (S x))\n", b"Vehicle,Price\nToyota,1\n", b"NNNNTAACCC\n"]
)
def test_texts_whose_first_letters_are_instructions(first: bytes) -> None:
    data = first * ((9 << 20) // len(first))
    assert look(data).declared == "text" and look(gzip.compress(data)).declared == "gzip"
    assert look(zipped({"a.csv": data}, zipfile.ZIP_DEFLATED)).code is None


def test_raw_numbers_that_begin_as_a_protocol() -> None:
    assert look(b"\x80\x3f" * 4096).declared == "binary"


def test_texts_in_archives() -> None:
    large = "".join(f"a{number}: {number}\n" for number in range(9000)).encode()
    assert look(gzip.compress(tarred({f"{number}.yaml": large for number in range(6)}))).code is None
    assert look(zipped({"a.yaml": large * 60}, zipfile.ZIP_DEFLATED)).code is None


@pytest.mark.parametrize(
    "block", [MATLAB, MATLAB[:-1] + b"x", b"MATLAB 7.2" + MATLAB[10:], b"\0" * 512], ids=range(4)
)
def test_files_of_matlab(block: bytes) -> None:
    """HDF5 behind 512 bytes: what h5py writes with ``userblock_size=512``."""
    with zipfile.ZipFile(VECTORS) as archive:
        data = archive.read("hdf5-user-block.h5")
    assert data[512:520] == b"\x89HDF\r\n\x1a\n"
    if block == MATLAB:
        found = look(block + data[512:], "a.mat")
        assert found.declared == "hdf5" and found.count
    else:
        with pytest.raises(FormatError, match="before the HDF5 file"):
            look(block + data[512:], "a.mat")


def test_a_text_without_an_end_is_no_json() -> None:
    assert look(b'"[' + b"[" * 3000, "tokenizer.json").declared == "text"


# -- skops ----------------------------------------------------------------------------------------------------------


def schema(**top: Any) -> bytes:
    value = {
        "__class__": "dict",
        "__module__": "builtins",
        "__loader__": "DictNode",
        "_skops_version": "0.16",
    } | top
    return zipped({"schema.json": json.dumps(value).encode()})


def test_a_large_schema_is_not_read() -> None:
    for data in (schema(words=list(range(300_000))), schema(text="x" * (17 << 20))):
        found = look(data, "m.skops")
        assert found.declared == "skops" and "not told" in found.notes[0]
    assert look(zipped({"schema.json": json.dumps(list(range(300_000))).encode()})).declared == "zip"


@pytest.mark.parametrize(
    ("module", "name", "code"),
    [("builtins", "exec", True), ("builtins", "getattr", True), ("os", "system", True), ("subprocess", "run", True), ("os.path", "join", True),
     ("builtins", "dict", False), ("functools", "partial", False), ("osprey", "Model", False), ("my.model", "Own", False)],
)  # fmt: skip
def test_classes_that_skops_asks_about(module: str, name: str, code: bool) -> None:
    found = look(
        schema(content={"__class__": name, "__module__": module, "__loader__": "ConstructorFromReduceNode"})
    )
    assert (found.code is not None) == code
    assert bool(found.notes) == (name != "dict") and all(f"{module}.{name}" in note for note in found.notes)


@pytest.mark.parametrize(
    ("module", "name", "code"),
    [("os", "system", True), ("builtins", "exec", True), ("subprocess.x", "run", True), ("builtins", "dict", False), ("osprey", "M", False)],
)  # fmt: skip
@pytest.mark.parametrize("size", [300_000, 10_000_000])
def test_classes_in_a_large_schema(module: str, name: str, code: bool, size: int) -> None:
    head = b'{"a": [' + b"0," * size + b'0], "__loader__": "DictNode", "x": '
    item = json.dumps({"__class__": name, "__module__": module, "__loader__": "Node"}).encode()
    found = look(zipped({"schema.json": head + item + b"}"}), "m.skops")
    if size == 300_000:
        assert found.declared == "skops" + "+code" * code
    else:  # behind what is looked at
        assert found.declared == "zip+code"


def test_names_in_a_large_schema_that_are_spelt_otherwise() -> None:
    words = ", ".join(f'"{number}"' for number in range(300_000))
    for letter, code in (("\\u006f", True), ("\\u00e9", False)):
        text = f'{{"__loader__": "DictNode", "__module__": "{letter}s", "words": [{words}]}}'
        assert (look(zipped({"schema.json": text.encode()}), "m.skops").code is not None) == code


# -- HDF5 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("a", CALL, True), ("keras_version", CALL, True), ("a", b"N0" * 160_000 + CALL, True), ("a", b"text.", False), ("a", b"", False),
        ("PSEUDOATOM", b"object", True), ("PSEUDOATOM", b"Vobject\n.", True), ("PSEUDOATOM", b"vlstring", False),
        ("PSEUDOATOM", b"vlunicode", False), ("FLAVOR", b"Object", True), ("FLAVOR", b"numpy", False),
    ],
    ids=str,
)  # fmt: skip
def test_attributes_that_pytables_loads(name: str, value: bytes, code: bool) -> None:
    if len(value) < 60_000:
        assert (look(groups.with_attribute(name, value)).code is not None) == code
    assert (look(groups.with_text(name, value)).code is not None) == code


@pytest.mark.parametrize(
    ("sign", "offset", "value"),
    [(b"BTLF\0\x08", 14, b"\x02"), (b"BTLF\0\x08", 6, b"\x20"), (b"FRHP", 7, b"\x01")],
    ids=["shared", "in its identifier", "filtered"],
)
def test_attributes_in_heaps_that_are_not_read(sign: bytes, offset: int, value: bytes) -> None:
    with zipfile.ZipFile(VECTORS) as archive:
        data = archive.read("hdf5-dense.h5")
    assert not look(data).notes
    assert "shared or filtered" in look(patched(data, sign, offset, value)).notes[0]


def test_large_attributes_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5_heaps, "_MAX_HUGE", 0)
    with zipfile.ZipFile(VECTORS) as archive, pytest.raises(FormatError, match="more than 0 messages"):
        look(archive.read("hdf5-dense.h5"))


def test_attributes_of_a_group_that_are_not_read() -> None:
    assert "cannot be read" in str(look(groups.with_attribute("a", b"text", flags=1)).code)


# -- texts and programs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n    model_path: model.pkl\n", False),
        (b"flavors:\n  python_function:\n    code: null\n    loader_module: 'mlflow.pyfunc.model'\n", False),
        (b"flavors:\n  python_function:\n    loader_module: own\n", True),
        (b"flavors: {python_function: {loader_module: own}}\n", True),
        (b'flavors: {python_function: {"loader_module" : "own"}}\n', True),
        (b"a: &m own\nflavors:\n  python_function:\n    loader_module: *m\n", True),
        (b'flavors:\n  python_function:\n    "loader\\x5fmodule": own\n', True),
        (b"flavors:\n  python_function:\n    code: code\n    loader_module: mlflow.sklearn\n", True),
        (b"model_code: x\n", False),
        (b"flavors:\n  python_function:\n    model_code_path: agent.py\n    loader_module: mlflow.pyfunc.model\n", True),
        (b"a: &k loader_module\nflavors:\n  python_function:\n    *k : own\n", True),
        (b"? loader_module # c\n: own\n", True),
        (b'"loader_\\\n  module": own\n', True),
        (b'author: "J\\xFCrgen"\nsignature:\n  inputs: \'[{"name": "gr\\u00f6\\u00dfe"}]\'\n', False),
        (b"RIFF: 1\nloader_module: own\n", True),
    ],
)  # fmt: skip
def test_models_of_mlflow(text: bytes, code: bool) -> None:
    found = look(text, "a/MLmodel")
    assert (found.code is not None) == code and found.format == ("riff" if text[:4] == b"RIFF" else "mlmodel")
    assert look(text, "a/b.txt").code is None


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b'{"py/reduce": [{"py/function": "os.system"}]}', True), (b'[1, {"a": {"p\\u0079/object": "os.x"}}]', True),
        (b'{"a": "py/object"}', False), (b'{"python": 1}', False), (b"[" + b"0," * 300_000 + b'{"py/object": "x"}]', True),
        (b"[" + b"0," * 300_000 + b'{"p\\u0079\\/object": "x"}]', True), (b'{"py/reduce": [], "x": "' + b"y" * (17 << 20) + b'"}', True),
    ],
    ids=range(7),
)  # fmt: skip
def test_objects_of_jsonpickle(text: bytes, code: bool) -> None:
    assert look(text, "a.json").declared == "json" + "+code" * code


@pytest.mark.parametrize(
    ("data", "declared"),
    [
        (b"\xfe\xed\xfa\xcf", "macho+code"), (b"\xfe\xed\xfa\xce", "macho+code"), (b"\xca\xfe\xba\xbf", "macho+code"),
        (b"MZqFpD='\n", "ape+code"), (b"jartsr='\n", "ape+code"), (b"\x10\0\0\0PTMF", "torchscript+code"),
        (b"\0\1\0\0\0\xff\xff\xff\xff\1\0\0\0\0\0\0\0", "dotnet-serialized+code"),
        (b"\xa7\x0d\r\n\2" + bytes(11), "python-bytecode+code"), (b"\x33\x0d\r\n1234\0\0\0\0\xe3", "python-bytecode+code"),
        (b"OggS{{ x.__class__ }}", "ogg"),
        (b"\x03\xf3\r\n1234c\0\0\0", "python-bytecode+code"), (b"\x03\xf3\r\n1234d\0\0\0", "binary"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_programs(data: bytes, declared: str) -> None:
    assert look(data + bytes(40)).declared == declared


def test_texts_that_begin_as_something_else() -> None:
    assert look(b"OggS{{ x.__class__ }}", "chat_template.jinja").code
    assert look(b"a\x0d\r\n0123cccc,1,2,3,4\n", "a.csv").declared == "csv"


# -- what is counted ---------------------------------------------------------------------------------------------------


def test_arrays_and_attributes_count() -> None:
    made = io.BytesIO()
    for _ in range(5):
        np.save(made, np.zeros(1))
    arrays = made.getvalue()
    assert numpys.read(Window(Memory(arrays), len(arrays), steps=5)).count == 5
    attributes = groups.hdf5(
        groups.header(*(groups.attribute(b"a%d" % number, bytes(16)) for number in range(100)))
    )
    for read, data, steps in ((numpys.read, arrays, 4), (hdf5.walk, attributes, 250)):
        with pytest.raises(FormatError, match="more values"):
            read(Window(Memory(data), len(data), steps=steps))


def test_the_first_bytes_of_a_compressed_file_cost_little() -> None:
    data = zipped({"a": np.random.default_rng(1).bytes(200_000)}, zipfile.ZIP_DEFLATED)
    table = len(data) - data.rindex(b"PK\1\2")
    archive = zips.open_archive(Window(Memory(data), len(data), read=66_000 + 3 * table + 1024))
    assert len(archive.head("a", 16)) == 16
