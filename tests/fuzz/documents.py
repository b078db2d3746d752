"""Readers of documents: what sellers publish, what proves something, and files that are handed over or kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from steelyard import config
from steelyard.audit import bundle, compare, mpt, receipt
from steelyard.chain.deployment import Deployment
from steelyard.cli.units import parse_duration, parse_time
from steelyard.crypto import handover, kept, keystore
from steelyard.crypto.content import CHUNK_SIZE, HASH_SIZE, Geometry
from steelyard.crypto.metering import Signer
from steelyard.crypto.secret import Secret
from steelyard.domain import (
    canonical,
    card,
    cardcheck,
    header,
    jsontext,
    manifest,
    mmr,
    money,
    node,
    paths,
    ref,
    rlp,
)
from steelyard.domain.hash import keccak256
from steelyard.domain.metering import MeteredTerms, Receipt, Voucher, unit_word
from steelyard.domain.types import NATIVE, Address, AssetId, NodeId, VersionId
from steelyard.errors import DigestError, SteelyardError
from steelyard.metering import evidence
from steelyard.metering.agreement import Agreement, Place, Signed
from steelyard.service import journal, staging
from steelyard.service.cache import AssetCache
from steelyard.service.sealing import _read_record
from tests.fuzz.target import ROOT, Run, Target, literal, same, scratch


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


def _path(data: bytes) -> None:
    parts = data.decode("utf-8", "surrogatepass").split("\n")
    paths.check_tree(parts)


def _mpt(data: bytes) -> None:
    key, *nodes = [item for item in rlp.decode_list(data) if isinstance(item, bytes)] or [b""]
    if nodes:
        mpt.prove(keccak256(nodes[0]), key, nodes)


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


_CARD = "---\nlicense: mit\ntags: [a, b]\nmodel-index:\n- name: x\n  results:\n  - metrics:\n    - {type: acc, value: 0.5}\n---\n# T\n"


def _checked(data: bytes) -> None:
    cardcheck.check(data)


def _json(data: bytes) -> None:
    jsontext.parse_json(data)


# -- metered use -------------------------------------------------------------------------------------------------

_PAYEE, _SIGNER = Signer(Secret(b"\x11" * 32)), Signer(Secret(b"\x22" * 32))
AGREEMENT = Agreement.of(
    Place.of(31337, Address(b"\x55" * 20)),
    asset=AssetId(bytes(32)),
    terms=MeteredTerms(
        payee=_PAYEE.address,
        currency=NATIVE,
        price=7,
        unit=unit_word("row"),
        version=VersionId(b"\x66" * 32),
        node=NodeId(bytes(32)),
        window=86_400,
        in_flight=3,
        expiry=2_000_000_000,
        text=bytes(32),
        salt=1,
    ),
    payer=Address(b"\x44" * 20),
    signer=_SIGNER.address,
    nonce=1,
)
"""A channel."""


def receipts(count: int) -> tuple[Signed, list[tuple[Receipt, bytes]]]:
    """Return receipts of the channel, and a voucher over them."""
    separator = AGREEMENT.place.separator
    made = [
        Receipt(
            channel=AGREEMENT.channel,
            sequence=i,
            version=AGREEMENT.version,
            units=1,
            request=bytes(32),
            response=bytes(32),
        )
        for i in range(1, count + 1)
    ]
    root = mmr.root(item.digest(separator) for item in made)
    voucher = Voucher(channel=AGREEMENT.channel, amount=7 * count, units=count, sequence=count, root=root)
    signed = Signed(voucher=voucher, signature=_SIGNER.sign(voucher.digest(separator)))
    return signed, [(item, _PAYEE.sign(item.digest(separator))) for item in made]


def _evidence_seeds() -> Iterator[bytes]:
    yield evidence.write(AGREEMENT, *receipts(2))
    yield evidence.write(AGREEMENT, *receipts(3), only=2)


# -- files that are kept, and files of settings --------------------------------------------------------------------


def _file(name: str, read: Callable[[Path], object]) -> Run:
    """Return what writes a file and reads it."""

    def run(data: bytes) -> object:
        path = scratch() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return read(path)

    return run


def _record_seeds() -> Iterator[bytes]:
    public, sealed = _manifest()
    known = {
        "asset": "00" * 32,
        "format": "steelyard/cache/v1",
        "manifest": public.to_bytes().decode(),
        "number": 1,
    }
    yield json.dumps({**known, "ref": "a/b@1", "sealed": sealed.decode(), "version": "00" * 32}).encode()
    cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    yield json.dumps({"cid": cid, "keySalt": "00" * 32, "root": "00" * 32, "size": 5}).encode()


def _record(path: Path) -> None:
    AssetCache(scratch(), AssetId(bytes(32)))._read(path)
    _read_record(path)


_SETTINGS = """rpc = "https://node.example/key"
chain_id = 1
store = "http://127.0.0.1:5001"
gateways = ["https://ipfs.example"]
timeout = 5
max_fee = "0.01 ETH"
depth = "finalized"
"""


def _settings(path: Path) -> None:
    config.load(
        environ={"XDG_CONFIG_HOME": str(scratch() / "none"), "HOME": str(scratch())}, directory=path.parent
    )


def _deployment_seeds() -> Iterator[bytes]:
    item = {"address": "0x" + "11" * 20, "transaction": "0x" + "22" * 32, "arguments": "0x"}
    names = ("Assets", "Market", "Treasury", "Directory", "FraudChecker")
    document = {"format": "steelyard/deployment/v1", "chainId": 1, "startBlock": 1, "minBond": "5"}
    contracts = {name: item | {"address": f"0x{number:040x}"} for number, name in enumerate(names, 1)}
    yield json.dumps({**document, "contracts": contracts}).encode()


def _keystore(data: bytes) -> None:
    found = jsontext.parse_json(data)
    keystore.decrypt(keystore._mapping(found, "it"), password="fuzz")


def _keystore_seeds() -> Iterator[bytes]:
    yield json.dumps(keystore.encrypt(Secret(b"\x11" * 32), password="fuzz", scrypt_n=2)).encode()


def _kept_key(data: bytes) -> None:
    kept.open_kept(data, owner=Secret(b"\x11" * 32), chain_id=1, registry=bytes(20), version=bytes(32))


def _kept_key_seeds() -> Iterator[bytes]:
    yield kept.seal_kept(
        Secret(b"\x22" * 32), owner=Secret(b"\x11" * 32), chain_id=1, registry=bytes(20), version=bytes(32)
    )


def _export(data: bytes) -> None:
    read = {"csv": compare._csv_records, "jsonl": compare._jsonl_records, "prov": compare._prov_records}
    form = compare.format_of(data)
    if form is not None:
        for record in read[form](data.decode("utf-8-sig")):
            compare._name(record)


_EXPORTS = (
    'entry,block,time,event\n1,5,6,"Purchased"\n',
    '{"format":"steelyard/audit-export/v1","complete":true}\n{"entry":1,"event":"x","block":2}\n',
    '{"prefix":{"a":"b"},"activity":{"steelyard:entry-1":{"a":1}},"entity":{}}',
)


def _amount(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    for read in (money.parse_native, parse_duration, parse_time):
        try:
            read(text)
        except SteelyardError:
            pass
    amount = money.parse_token(text, decimals=6, symbol="USDC")
    assert (
        money.parse_token(money.format_token(amount, decimals=6, symbol="USDC"), decimals=6, symbol="USDC")
        == amount
    )


def _sealing(data: bytes) -> None:
    """Read what is left of a seal journal: a record is written back as it is."""
    path = scratch() / "journal"
    path.write_bytes(data)
    handle = os.open(path, os.O_RDWR)
    try:
        found = journal.SealJournal(handle, size=_JOURNALED)
        for index in range(3):
            before, record = path.read_bytes(), found.get(index)
            if record is not None:
                found.put(index, record)
                assert path.read_bytes() == before
        again = journal.SealJournal(handle, size=_JOURNALED)
        assert again.salt == found.salt and len(found.salt) == 32
    finally:
        os.close(handle)


_JOURNALED = 2 * CHUNK_SIZE + 1


def _sealing_seeds() -> Iterator[bytes]:
    path = scratch() / "journal-seed"
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        made = journal.SealJournal(handle, size=_JOURNALED)
        yield path.read_bytes()
        for index in (0, 2):
            leaves = Geometry(_JOURNALED).chunk_leaves(index)
            part = journal.Sealed(
                block=bytes(32), tag=bytes(16), root=bytes(32), salted=bytes(HASH_SIZE * leaves)
            )
            made.put(index, part)
        yield path.read_bytes()
    finally:
        os.close(handle)


def _fetching(data: bytes) -> None:
    """Read what is left of a pull: which roots are there, and a file of which a part is."""
    folder = scratch() / "stage"
    shutil.rmtree(folder, ignore_errors=True)
    stage = staging.Stage(folder)
    size = 1 + (data[0] if data else 0)
    entry = manifest.FileEntry(path="a", offset=9, size=size, format="text", role="other")
    (folder / "roots").write_bytes(data[1:])
    digest = hashlib.sha256(bytes(size)).digest()
    (folder / f"{digest.hex()}.part").write_bytes(data[1 : 2 * size])
    needed = staging.Needed(entry=entry, digest=digest)
    part = staging._Part(stage, needed)
    assert entry.offset <= part.at <= part.stop
    try:
        stage.check_roots(size=_JOURNALED, root=bytes(32))
        part.write(memoryview(bytes(part.missing)))
        part.end()
    except staging.Spoilt:
        assert part.resumed
    finally:
        part.close()


DOCUMENTS: dict[str, Target] = {
    "seal-journal": Target(_sealing, _sealing_seeds, ()),
    "pull-stage": Target(_fetching, literal(bytes([40]) + b"a" * 96, bytes([9]) + bytes(64)), (DigestError,)),
    "receipts": Target(evidence.verify, _evidence_seeds),
    "settings": Target(_file("steelyard.toml", _settings), literal(_SETTINGS)),
    "deployment": Target(_file("deployment.json", Deployment.load), _deployment_seeds),
    "kept-record": Target(_file("record.json", _record), _record_seeds),
    "kept-key": Target(_kept_key, _kept_key_seeds),
    "keystore": Target(_keystore, _keystore_seeds, (SteelyardError, ValueError)),
    "export": Target(_export, literal(*_EXPORTS), (SteelyardError, UnicodeDecodeError)),
    "amount": Target(_amount, literal("0.5 ETH", "12.345678 USDC", "1_000", "90d", "2027-01-15T08:00:00Z")),
    "manifest": Target(same(manifest.parse, lambda value: value.to_bytes()), _manifest_seeds),  # type: ignore[attr-defined],
    "sealed-manifest": Target(_sealed, _manifest_seeds),
    "canonical": Target(same(canonical.decode, canonical.encode), _manifest_seeds),
    "card": Target(_card, literal(_CARD, "# only text")),
    "card-check": Target(
        _checked, literal(_CARD, _CARD + "<a href='javascript:x'><img onerror = 1>&lt;script&gt;")
    ),
    "paths": Target(_path, literal("a\na.b\nc/d", "CON", "é"), (SteelyardError, UnicodeDecodeError)),
    "node": Target(
        lambda data: node.parse(data, expected=None),
        literal(
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
    "ref": Target(
        _ref,
        literal("alice/digits@2", "eip155:1/0x" + "ab" * 20 + "/0x" + "cd" * 32),
        (SteelyardError, UnicodeDecodeError),
    ),
    "json": Target(_json, literal('{"a":[1,2.5,null,"x"]}'), (ValueError,)),
    "key-file": Target(handover.read_file, _key_file_seed),
    "mpt": Target(_mpt, _mpt_seeds),
    "receipt": Target(receipt.read_logs, _receipt_seeds),
    "header": Target(header.parse, _header_seed),
    "bundle": Target(bundle.parse, _bundle_seed),
}
