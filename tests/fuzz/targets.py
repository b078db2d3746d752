"""Every parser of ours that reads what strangers write: how to call it, what it may raise, what must hold afterwards, seeds.

A target that returns means: read, and what was read is written back as the same bytes where there is a writer. Anything
raised but the errors that a parser names is a finding.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.api import raw
from steelyard.audit import bundle, mpt, receipt
from steelyard.crypto import handover
from steelyard.crypto.secret import Secret
from steelyard.domain import (
    abi,
    canonical,
    card,
    cardcheck,
    header,
    jsontext,
    manifest,
    node,
    paths,
    ref,
    rlp,
    siwe,
)
from steelyard.domain.hash import keccak256
from steelyard.domain.types import Address, AssetId, VersionId
from steelyard.errors import SteelyardError
from steelyard.formats import (
    coats,
    gguf,
    hdf5,
    inspect,
    keras,
    numpys,
    onnx,
    parquet,
    pickles,
    safetensors,
    savedmodel,
    tars,
    zips,
)
from steelyard.formats.window import Memory, Window
from steelyard.storage import accept, car, cid, dagpb, multipart

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "tests" / "vectors"

Run = Callable[[bytes], object]
Seeds = Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Target:
    """A parser: how it is run, and what it starts from."""

    run: Run
    seeds: Seeds
    allowed: tuple[type[Exception], ...] = (SteelyardError,)


def _format(read: Callable[[Window], object]) -> Run:
    return lambda data: read(Window(Memory(data), len(data)))


def _samples(*words: str) -> Seeds:
    """Return real files of other libraries whose names hold one of the words."""

    def seeds() -> Iterator[bytes]:
        with zipfile.ZipFile(VECTORS / "formats.zip") as archive:
            for name in archive.namelist():
                if not words or any(word in name for word in words):
                    yield archive.read(name)

    return seeds


def _literal(*items: bytes | str) -> Seeds:
    return lambda: iter([item.encode() if isinstance(item, str) else item for item in items])


def _same(read: Callable[[bytes], object], write: Callable[[object], bytes]) -> Run:
    def run(data: bytes) -> None:
        assert write(read(data)) == data, "what was read is not written back as it was"

    return run


def _manifest() -> tuple[manifest.Manifest, bytes]:
    file = manifest.SourceFile(path="a/b.onnx", size=7, format="onnx", role="weights", sha256=bytes(32))
    return manifest.build([file], key_salt=bytes(32))


def _sealed(data: bytes) -> None:
    public, _ = _manifest()
    one = (
        manifest.Manifest(
            key_salt=public.key_salt,
            size=public.size - public.sealed_size + len(data),
            sealed_size=len(data),
            files=tuple(
                manifest.FileEntry(path=f.path, offset=len(data), size=f.size, format=f.format, role=f.role)
                for f in public.files
            ),
        )
        if data
        else public
    )
    manifest.parse_sealed(data, manifest=one)


def _card(data: bytes) -> None:
    for text in (card.parse(data), card.plain_card(data)):
        assert "\0" not in text.text


def _cid(data: bytes) -> None:
    text = cid.parse_cid(data.decode("latin-1"))
    assert cid.cid_from_bytes(cid.cid_to_bytes(text)) == text


def _raw_cid(data: bytes) -> None:
    assert cid.cid_to_bytes(cid.cid_from_bytes(data)) == data


def _multipart(data: bytes) -> None:
    chunked, data = data[:1] == b"c", data[1:]
    fields = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(len(data))}
    form = multipart.Form(
        multipart.Body(io.BytesIO(data), fields, limit=1 << 20), "multipart/form-data; boundary=XX"
    )
    for part in form.parts():
        while part.read(7):
            pass


def _mpt(data: bytes) -> None:
    key, *nodes = [item for item in rlp.decode_list(data) if isinstance(item, bytes)] or [b""]
    if nodes:
        mpt.prove(keccak256(nodes[0]), key, nodes)


def _path(data: bytes) -> None:
    parts = data.decode("utf-8", "surrogatepass").split("\n")
    paths.check_tree(parts)


def _siwe(data: bytes) -> None:
    message = siwe.parse(data.decode())
    assert siwe.parse(message.text()) == message


def _ref(data: bytes) -> None:
    ref.parse(data.decode())


def _kept_bundle() -> Any:
    return json.loads((ROOT / "tests" / "unit" / "audit" / "bundle.json").read_bytes())["bundle"]


def _hex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _bundle_seed() -> Iterator[bytes]:
    yield bundle._canonical(_kept_bundle())


def _header_seed() -> Iterator[bytes]:
    yield _hex(_kept_bundle()["header"])


def _proofs() -> Iterator[tuple[bytes, list[bytes]]]:
    for proof in _kept_bundle()["receipts"]:
        for part in ("receipt", "transaction"):
            yield rlp.encode_int(proof["index"]), [_hex(item) for item in proof[part]]


def _mpt_seeds() -> Iterator[bytes]:
    for key, nodes in _proofs():
        yield rlp.encode((key, *nodes))
    kept = _kept_bundle()
    yield rlp.encode(
        (keccak256(_hex(kept["directory"]["address"])), *map(_hex, kept["directory"]["account"]))
    )


def _receipt_seeds() -> Iterator[bytes]:
    for key, nodes in _proofs():
        if found := mpt.prove(keccak256(nodes[0]), key, nodes):
            yield found


def _key_file_seed() -> Iterator[bytes]:
    keys = [(VersionId(bytes([number]) * 32), Secret(bytes([number]) * 32)) for number in (1, 2)]
    place = {"chain_id": 1, "registry": Address(bytes(20)), "asset": AssetId(bytes(32))}
    yield handover.seal_keys(keys, password="fuzz" * 4, scrypt_n=2, **place)


def _manifest_seeds() -> Iterator[bytes]:
    public, sealed = _manifest()
    yield public.to_bytes()
    yield sealed


def _dag_seeds() -> Iterator[bytes]:
    yield dagpb.encode_unixfs(dagpb.Unixfs(kind=dagpb.Kind.FILE, size=3, data=b"abc"))
    yield bytes.fromhex("0a020801")


_CARD = "---\nlicense: mit\ntags: [a, b]\nmodel-index:\n- name: x\n  results:\n  - metrics:\n    - {type: acc, value: 0.5}\n---\n# T\n"
_SIWE = (
    "market.example wants you to sign in with your Ethereum account:\n0x70997970C51812dc3A010C7d01b50e0d17dc79C8\n\nHi.\n\n"
    "URI: https://market.example/x\nVersion: 1\nChain ID: 1\nNonce: abcdefgh12345678\nIssued At: 2027-01-15T08:00:00Z"
)
_FORM = b'n--XX\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: text/plain\r\n\r\nabc\r\n--XX--\r\n'
_PICKLES = (
    b"cos\nsystem\n(S'x'\ntR.",
    b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94K\x01\x8c\x01b\x94]\x94K\x02au.",
    (
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00((X\x07\x00\x00\x00storageq\x01ctorch\nFloatStorage\nq\x02X\x01\x00\x00\x000q\x03"
        b"X\x03\x00\x00\x00cpuq\x04K\x06tq\x05QK\x00K\x02K\x03\x86q\x06K\x03K\x01\x86q\x07\x89N\x87q\x08tq\tR."
    ),
)


def _npy_seeds() -> Iterator[bytes]:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"
    text += b" " * (118 - len(text) - 1) + b"\n"
    yield b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24)
    text = b"{'descr': [('a', '<i4'), ('b', '|O', (2,))], 'fortran_order': False, 'shape': (), }\n"
    yield b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text


def _tar_seeds() -> Iterator[bytes]:
    import tarfile

    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for name in ("a.txt", "d/" + "é" * 40 if form != tarfile.USTAR_FORMAT else "d/e"):
                info = tarfile.TarInfo(name)
                info.size = 3
                archive.addfile(info, io.BytesIO(b"abc"))
        yield out.getvalue()[:4096]


def _coat_seeds() -> Iterator[bytes]:
    import bz2
    import gzip
    import lzma
    import zlib

    inside = _PICKLES[1] * 5
    yield from (gzip.compress(inside), zlib.compress(inside), bz2.compress(inside), lzma.compress(inside))
    yield from _samples("lz4")()


def _coats(data: bytes) -> None:
    coat = coats.coat_of(data)
    if coat is not None:
        found = coats.unpacked(Window(Memory(data), len(data)), coat)
        assert found is None or len(found) <= coats.HEAD


def _tars(data: bytes) -> None:
    for _ in tars.members(Window(Memory(data), len(data))):
        pass


def _zips(data: bytes) -> None:
    archive = zips.open_archive(Window(Memory(data), len(data)))
    for name in archive.entries:
        archive.head(name, 4096)


def _car(data: bytes) -> None:
    for _ in car.CarReader(io.BytesIO(data)).blocks():
        pass


def _car_seeds() -> Iterator[bytes]:
    blocks = [(cid.cid_of(data), data) for data in (b"abc", bytes(300))]
    yield b"".join(car.write_car([blocks[0][0]], blocks))


def _accept(data: bytes) -> None:
    query, _, header_ = data.decode("latin-1").partition("\n")
    accept.choose({"format": query} if query else {}, header_.split("\n"))


def _checked(data: bytes) -> None:
    cardcheck.check(data)


def _abi(data: bytes) -> None:
    types = ("uint256", "bytes", "bytes32[]", "address", "string")
    abi.decode(types, data)


def _json(data: bytes) -> None:
    jsontext.parse_json(data)


TARGETS: dict[str, Target] = {
    "formats": Target(lambda data: inspect.inspect(Memory(data), len(data), name="a.json"), _samples()),
    "safetensors": Target(_format(safetensors.read), _samples("safetensors")),
    "gguf": Target(_format(gguf.read), _samples("gguf")),
    "onnx": Target(_format(onnx.read), _samples("onnx")),
    "savedmodel": Target(_format(savedmodel.read), _samples("saved_model")),
    "checkpoint": Target(_format(savedmodel.read_index), _samples("variables.index")),
    "hdf5": Target(_format(hdf5.read), _samples(".h5")),
    "keras": Target(_format(keras.read_hdf5), _samples("lambda.h5", "latest.h5")),
    "zip": Target(_zips, _samples("keras.keras", "skops")),
    "zip-models": Target(_format(inspect._zip), _samples(".keras", "skops")),
    "npy": Target(_format(numpys.read), _npy_seeds),
    "parquet": Target(_format(parquet.read), _samples("parquet")),
    "pickle": Target(lambda data: pickles.follow(Window(Memory(data), len(data))), _literal(*_PICKLES), ()),
    "tar": Target(_tars, _tar_seeds),
    "coats": Target(_coats, _coat_seeds),
    "manifest": Target(_same(manifest.parse, lambda value: value.to_bytes()), _manifest_seeds),  # type: ignore[attr-defined]
    "sealed-manifest": Target(_sealed, _manifest_seeds),
    "canonical": Target(_same(canonical.decode, canonical.encode), _manifest_seeds),
    "card": Target(_card, _literal(_CARD, "# only text")),
    "card-check": Target(
        _checked, _literal(_CARD, _CARD + "<a href='javascript:x'><img onerror = 1>&lt;script&gt;")
    ),
    "paths": Target(_path, _literal("a\na.b\nc/d", "CON", "é"), (SteelyardError, UnicodeDecodeError)),
    "node": Target(
        lambda data: node.parse(data, expected=None),
        _literal(
            json.dumps(
                {
                    "format": "steelyard/node/v1",
                    "positions": [{"payee": "0x" + "00" * 31 + "01", "weight": 10000}],
                    "salt": "0x" + "11" * 32,
                },
                separators=(",", ":"),
                sort_keys=True,
            )
        ),
    ),
    "cid": Target(_cid, _literal("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")),
    "cid-bytes": Target(_raw_cid, _literal(bytes.fromhex("01551220") + bytes(32))),
    "dag-pb": Target(lambda data: dagpb.decode_unixfs(dagpb.decode_node(data).data), _dag_seeds),
    "car": Target(_car, _car_seeds),
    "accept": Target(_accept, _literal("raw\napplication/vnd.ipld.car; version=1; order=dfs, */*;q=0.5")),
    "raw-transaction": Target(raw.decode_raw, _literal(bytes.fromhex("02c0"))),
    "abi": Target(_abi, _literal(bytes(32 * 12))),
    "unixfs": Target(dagpb.decode_unixfs, _dag_seeds),
    "multipart": Target(_multipart, _literal(_FORM, b"c5\r\n--XX-\r\n3\r\n-\r\n\r\n0\r\n\r\n")),
    "rlp": Target(_same(rlp.decode, rlp.encode), _literal(bytes.fromhex("c88363617483646f67"), b"\x80")),  # type: ignore[arg-type]
    "mpt": Target(_mpt, _mpt_seeds),
    "receipt": Target(receipt.read_logs, _receipt_seeds),
    "header": Target(header.parse, _header_seed),
    "bundle": Target(bundle.parse, _bundle_seed),
    "json": Target(_json, _literal('{"a":[1,2.5,null,"x"]}'), (ValueError,)),
    "siwe": Target(_siwe, _literal(_SIWE), (SteelyardError, UnicodeDecodeError)),
    "ref": Target(
        _ref,
        _literal("alice/digits@2", "eip155:1/0x" + "ab" * 20 + "/0x" + "cd" * 32),
        (SteelyardError, UnicodeDecodeError),
    ),
    "key-file": Target(handover.read_file, _key_file_seed),
}
"""All targets, by name."""
