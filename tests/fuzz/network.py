"""Readers of what comes over the network: requests of strangers, answers of endpoints, stores and gateways."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from email.message import Message
from enum import Enum
from functools import cache
from types import SimpleNamespace
from typing import Any

import msgspec

from steelyard.api import download, drafts, fields, limits, outgoing, raw, stream, words
from steelyard.api.endpoints import endpoints
from steelyard.api.problem import Problem
from steelyard.api.reply import matches, takes_gzip
from steelyard.api.tree import Tree
from steelyard.audit.body import encode_receipt
from steelyard.chain import rpc, wire
from steelyard.chain.calls import Call
from steelyard.chain.reverts import decode_revert
from steelyard.chain.transaction import Fees, encode_fee_market, fee_market_fields
from steelyard.crypto.metering import Signer
from steelyard.crypto.secret import Secret
from steelyard.domain import abi, header, rlp, siwe
from steelyard.domain.events import TYPES, decode_event
from steelyard.domain.hash import keccak256
from steelyard.domain.jsontext import decode_json
from steelyard.domain.records import AssetState, MeteredOfferState
from steelyard.domain.types import Address, AssetKind, OfferId
from steelyard.errors import InputError, NotFoundError, ProofError, SteelyardError, UnavailableError
from steelyard.gateway import app as gateway
from steelyard.gateway.offer import payment_of_x402
from steelyard.indexer import entries, source
from steelyard.metering import tensors
from steelyard.metering import wire as payments
from steelyard.query import cursor
from steelyard.query.model import EventQuery
from steelyard.service import remote, usage_check, usage_http
from steelyard.storage import accept, car, cid, dagpb, directories, multipart, reader, trustless
from steelyard.storage.embedded import EmbeddedStore
from tests.fuzz.documents import AGREEMENT, receipts
from tests.fuzz.target import Target, literal, same, scratch

HEX = "0x" + "11" * 32


class Nowhere:
    """Stands where something is to be looked up: nothing is there."""

    def __getattr__(self, name: str) -> Any:
        """Refuse."""
        raise UnavailableError(f"{name}: there is nothing here")


# -- the gateway of hosted models, and its client --------------------------------------------------------------


def _same_tensors(found: Mapping[str, tensors.Array]) -> None:
    body, size = tensors.write_request(found)
    again = tensors.read_request(body, header=size).inputs
    assert [(name, item.shape, item.tolist()) for name, item in again.items() if item.dtype.kind != "f"] == [
        (name, item.shape, item.tolist()) for name, item in found.items() if item.dtype.kind != "f"
    ]


def _tensors(data: bytes) -> None:
    request = tensors.read_request(data)
    _same_tensors(request.inputs)
    tensors.write_answer(request.inputs, request, model="m", version="1")


def _binary_tensors(data: bytes) -> None:
    _same_tensors(tensors.read_request(data[2:], header=int.from_bytes(data[:2], "big")).inputs)


def _answered(data: bytes) -> None:
    tensors.read_answer(data[2:], header=int.from_bytes(data[:2], "big") or None)


def _binary_seeds() -> Iterator[bytes]:
    import numpy as np

    found = {
        "x": np.arange(6, dtype="<f4").reshape(2, 3),
        "t": np.array(["ab", "c"], dtype=object),
        "b": np.array([True]),
    }
    body, size = tensors.write_request(found, outputs=("y",), id="1")
    yield size.to_bytes(2, "big") + body


def _answer_seeds() -> Iterator[bytes]:
    import numpy as np

    asked = tensors.Request(inputs={}, id="1", binary=True)
    body, size = tensors.write_answer({"y": np.arange(3, dtype="<f4")}, asked, model="m", version="1")
    assert size is not None
    yield size.to_bytes(2, "big") + body
    yield bytes(2) + b'{"outputs":[{"name":"y","datatype":"FP32","shape":[2],"data":[0.5,1]}]}'


def _payment(data: bytes) -> None:
    found = payments.read_payment(data.decode("latin-1"))
    found.signed(7)


def _payment_seeds() -> Iterator[bytes]:
    signed, _ = receipts(2)
    yield payments.write_payment(
        signed, payer=AGREEMENT.payer, nonce=1, point=bytes(33), call=3, key=bytes(32)
    ).encode()


def _receipt(data: bytes) -> None:
    text = data.decode("latin-1")
    found = payments.read_receipt(text, channel=AGREEMENT.channel, version=AGREEMENT.version)
    assert payments.write_receipt(*found) == text


def _receipt_seeds() -> Iterator[bytes]:
    yield payments.write_receipt(*receipts(1)[1][0]).encode()


def _x402(data: bytes) -> None:
    payment_of_x402(data.decode("latin-1"))


def _gateway_path(data: bytes) -> None:
    method, _, path = data.decode("utf-8", "replace").partition(" ")
    gateway.find(path, method)


_OFFER = MeteredOfferState(
    id=OfferId(b"\x11" * 32),
    asset=AGREEMENT.asset,
    terms=AGREEMENT.terms,
    maker=AGREEMENT.payer,
    made_at=0,
    epoch=0,
)
_ASSET = AssetState(
    id=AGREEMENT.asset,
    name=bytes(32),
    kind=AssetKind.MODEL,
    creator=AGREEMENT.payer,
    owner=AGREEMENT.payer,
    royalty=0,
    registered_at=0,
    metered={_OFFER.id: _OFFER},
)


def _told(data: bytes) -> None:
    """Read what a gateway says of a model and of a channel, and why it refuses."""
    usage_http._refusal("http://gateway", 402, data)
    kind = usage_http.Seen if b'"receipts"' in data else usage_http.Served
    found = decode_json(data, kind)
    if isinstance(found, usage_http.Served):
        usage_check.check_offer(_ASSET, AGREEMENT.version, found.steelyard, now=0)
        return
    for item in found.receipts:
        _, receipt, _ = usage_check.read_row(AGREEMENT, item)
        receipt.digest(AGREEMENT.place.separator)
    usage_check.read_voucher(AGREEMENT, found.voucher).voucher.digest(AGREEMENT.place.separator)


_ROW = {
    "call": 1,
    "sequence": 1,
    "units": "3",
    "request": HEX,
    "response": HEX,
    "signature": "0x" + "11" * 65,
}
_BEST = {"units": "3", "sequence": 2, "root": HEX, "signature": "0x" + "11" * 65}
_OFFERED = {"offer": HEX, "payee_key": "0x02" + "11" * 32, "batched": True}
_TOLD = (
    json.dumps({"receipts": [_ROW], "voucher": _BEST}),
    json.dumps({"inputs": [{"name": "x"}], "steelyard": _OFFERED}),
    json.dumps({"code": "bad-tag", "title": "t", "detail": "d"}),
)


# -- the HTTP service --------------------------------------------------------------------------------------------


@cache
def _api() -> tuple[Tree, Any]:
    deployment = SimpleNamespace(chain_id=1, assets=Address(bytes(20)))
    return Tree(endpoints()), SimpleNamespace(context=SimpleNamespace(deployment=deployment), audit=Nowhere())


def _request(data: bytes) -> None:
    """Read path, query and body of a request as its endpoint does: ``path?query``, a line feed, the body."""
    line, _, content = data.partition(b"\n")
    path, _, query = line.partition(b"?")
    tree, service = _api()
    if (found := tree.find(path)) is None:
        return
    place, parameters = found
    for name, value in parameters:
        text = fields.decode(value, name)
        for read in (fields.read_asset, fields.read_version, fields.read_address, fields.read_word):
            try:
                read(service, name, text)
            except Problem:
                pass
    for item in place.methods.values():
        if item.body is not None and content:
            fields.read_body(service, item.body, content)
        fields.read_query(service, item.query, query)


def _example(kind: Any, name: str) -> object:
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind)).name.lower()
    if is_dataclass(kind):
        return {
            item.name: [_example(item.kind, item.name)] if item.many else _example(item.kind, item.name)
            for item in fields.fields_of(kind)
        }  # type: ignore[arg-type]
    if kind in (int, bool):
        return fields.range_of(name)[0] if kind is int else True
    return "0x" + "11" * 20 if kind is Address else "x" if kind is str else HEX


def _request_seeds() -> Iterator[bytes]:
    for item in endpoints():
        path = item.path.replace("{account}", "0x" + "11" * 20).replace("{", "").replace("}", "")
        for name in ("asset", "version", "purchase", "id"):
            path = path.replace(f"/{name}/", f"/{HEX}/")
        query = ""
        if item.query is not None:
            values = _example(item.query, "")
            assert isinstance(values, dict)
            query = "&".join(
                f"{name}={str(value[0] if isinstance(value, list) else value).lower()}"
                for name, value in values.items()
                if name != "cursor"
            )
        content = ""
        if item.body is not None:
            example = _example(item.body, "") if is_dataclass(item.body) else _struct(item.body)
            content = json.dumps(example)
        yield f"{path}?{query}\n{content}".encode()


def _struct(kind: type) -> dict[str, object]:
    found: dict[str, object] = {}
    for item in msgspec.structs.fields(kind):  # type: ignore[arg-type]
        inner = item.type
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            found[item.encode_name] = _struct(inner)
        elif item.default is msgspec.NODEFAULT:
            found[item.encode_name] = 1 if inner is int else HEX
    return found


def _words(data: bytes) -> None:
    for read in (words.point, words.amount):
        try:
            read(data.decode("latin-1"), "x")
        except InputError:
            pass
    words.signature_parts(data.decode("latin-1"))


def _headers(data: bytes) -> None:
    """Read the headers that say more than a word."""
    text = data.decode("latin-1")
    size = 1000
    request = SimpleNamespace(method="GET", headers={"range": text, "last-event-id": text})
    call: Any = SimpleNamespace(request=request, query=SimpleNamespace(after=None))
    for read in (
        lambda: drafts.parse_part(text, None),
        lambda: drafts.parse_part(None, text),
        lambda: stream._resume(call),
        lambda: gateway._json_size({b"inference-header-content-length": data}),
    ):
        try:
            read()
        except (Problem, SteelyardError):
            pass
    matches(text, '"x"')
    takes_gzip(data)
    limits.caller_of(("127.0.0.1", 1), [(b"x-forwarded-for", data)], frozenset({"127.0.0.1"}))
    start, stop = download._range(call, '"x"', size)
    assert 0 <= start < stop <= size


def _url(data: bytes) -> None:
    target = outgoing.parse_target(data.decode("utf-8", "replace"))
    assert target.secure and 0 < target.port < 1 << 16 and target.host and target.path.startswith("/")


def _cursor(data: bytes) -> None:
    question = EventQuery()
    key = cursor.read(question, data.decode("latin-1"), (int, bytes))
    assert cursor.read(question, cursor.make(question, key), (int, bytes)) == key


def _cursor_seeds() -> Iterator[bytes]:
    yield cursor.make(EventQuery(), (7, b"abc")).encode()


# -- the chain's endpoint ----------------------------------------------------------------------------------------


def _chain(data: bytes) -> None:
    """Read an answer to ``eth_getLogs`` as the index does, and everything else that is read of a node's answers."""
    answer = source._parse(data)
    result = answer.get("result") if isinstance(answer, dict) else None
    if isinstance(result, list) and result and isinstance(result[0], entries.LogText):
        blocks = entries.blocks_of(result, endpoint="it")
        read = entries.read_entries(
            result,
            contracts=_CONTRACTS,
            times=dict.fromkeys(blocks.hashes, 1),
            first=0,
            last=1 << 40,
            endpoint="it",
        )
        numbers = [value for item in read for value in item if isinstance(value, int)]
        assert all(0 <= value < 1 << 63 for value in (*numbers, *blocks.hashes, *blocks.times.values()))
        return
    for parse in (wire.read_block, wire.read_log, wire.read_receipt, wire.read_account_proof):
        try:
            found = parse(result)
        except SteelyardError:
            continue
        places = ("number", "timestamp", "block_number", "tx_index", "log_index")
        assert all(0 <= getattr(found, name, 0) < 1 << 63 for name in places)
    if isinstance(result, dict):
        for encode in (encode_receipt, header.encode_fields):
            try:
                encode(result)
            except ProofError:
                pass
    error = answer.get("error") if isinstance(answer, dict) else None
    if isinstance(error, dict):
        rpc.raise_revert(rpc.Rpc._error(SimpleNamespace(name="it"), error, "eth_call"))  # type: ignore[arg-type]


_CONTRACTS = {
    name: bytes([number]) * 20 for number, name in enumerate(("Assets", "Market", "Treasury", "Channels"), 1)
}


def _chain_seeds() -> Iterator[bytes]:
    log = {
        "address": "0x" + "01" * 20,
        "topics": ["0x" + next(iter(TYPES)).hex(), HEX, HEX, "0x" + "00" * 12 + "11" * 20],
        "data": "0x" + "00" * 63 + "1" + "00" * 32,
        "blockNumber": "0x5",
        "blockHash": HEX,
        "transactionHash": HEX,
        "transactionIndex": "0x0",
        "logIndex": "0x1",
        "removed": False,
        "blockTimestamp": "0x6",
    }
    block = {
        name: HEX
        for name in ("hash", "parentHash", "sha3Uncles", "stateRoot", "transactionsRoot", "receiptsRoot")
    }
    block |= {
        name: "0x1" for name in ("number", "timestamp", "gasLimit", "gasUsed", "baseFeePerGas", "difficulty")
    }
    receipt = {
        "transactionHash": HEX,
        "blockHash": HEX,
        "logs": [log],
        "logsBloom": "0x" + "00" * 256,
        "contractAddress": None,
    }
    receipt |= {
        name: "0x1"
        for name in (
            "status",
            "gasUsed",
            "effectiveGasPrice",
            "blockNumber",
            "transactionIndex",
            "cumulativeGasUsed",
            "type",
        )
    }
    proof = {
        "address": "0x" + "11" * 20,
        "balance": "0x1",
        "nonce": "0x1",
        "codeHash": HEX,
        "storageHash": HEX,
        "accountProof": ["0xc0"],
    }
    proof["storageProof"] = [{"key": "0x1", "value": "0x1", "proof": ["0xc0"]}]
    for result in ([log], log, block, receipt, proof):
        yield json.dumps({"id": 1, "result": result}).encode()
    yield json.dumps(
        {"id": 1, "error": {"code": 3, "message": "execution reverted", "data": "0x08c379a0" + "00" * 64}}
    ).encode()


def _event(data: bytes) -> None:
    """Read an entry's data; its first byte says of which kind."""
    kind = list(TYPES.values())[data[0] % len(TYPES)] if data else None
    if kind is not None:
        topics = [kind.topic, bytes(32), bytes(32), bytes(32)]
        decode_event(topics, data[1:], contract=Address(bytes(20)), block=1, time=1, log=1, tx=bytes(32))


def _event_seeds() -> Iterator[bytes]:
    for number, kind in enumerate(TYPES.values()):
        yield bytes([number]) + bytes(32 * 24)[: 32 * (len(kind.types) + 12)]


def _transaction_seeds() -> Iterator[bytes]:
    call = Call(Address(bytes([1]) * 20), b"abcd", value=5)
    fields_ = fee_market_fields(call, chain_id=1, nonce=2, gas_limit=3, fees=Fees(max_fee=5, priority=4))
    signature = Signer(Secret(b"\x11" * 32)).sign(keccak256(encode_fee_market(fields_)))
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    yield encode_fee_market(fields_, (signature[64] - 27, r, s))


# -- stores ------------------------------------------------------------------------------------------------------


@cache
def _store() -> tuple[EmbeddedStore, str]:
    store = EmbeddedStore(scratch())
    return store, store.add_directory({"a.txt": io.BytesIO(bytes(3000))})


def _trustless(data: bytes) -> None:
    """Answer a request: target in the first line, then headers."""
    target, *lines = data.decode("latin-1").replace("CID", _store()[1]).split("\n")
    given = Message()
    for line in lines:
        name, _, value = line.partition(":")
        if name.isascii() and name.isprintable():
            given[name] = value.strip()
    found = trustless.answer(_store()[0], target, given)
    sent = sum(map(len, found.pieces))
    assert found.length is None or sent == found.length
    for value in found.headers.values():
        value.encode("latin-1")
        assert "\r" not in value and "\n" not in value


_TRUSTLESS = (
    "/ipfs/CID?format=raw\nRange: bytes=0-5",
    "/ipfs/CID/a.txt?format=car&dag-scope=entity&entity-bytes=0:100&car-dups=y&filename=x.car\nIf-None-Match: *",
    "/ipfs/CID\nAccept: application/vnd.ipld.car; version=1; order=dfs, */*;q=0.5",
    "/ipfs/bafkqaaa?format=raw",
)


def _block(data: bytes) -> None:
    """Read a block as a part of a file, and as a directory: what it lists is found, too."""
    name = cid.cid_of(data, codec=cid.Codec.DAG_PB)

    def fetch(other: cid.CID) -> bytes:
        if other != name:
            raise NotFoundError(other)
        return data

    read = reader.Reader(fetch)
    try:
        reader._file_node(name, data)
    except SteelyardError:
        pass
    for link in read.list_directory(name)[:9]:
        assert read.trace(name, link.name).roots == (name, link.cid)


def _block_seeds() -> Iterator[bytes]:
    store, root = _store()
    yield from (data for _, data in store.blocks(root))
    leaf = cid.cid_of(b"x")
    links = [dagpb.Link(cid=leaf, name=f"{i:03}", tsize=1) for i in range(60)]
    yield from (
        block.data for block in directories._trie([(directories.place(link.name), link) for link in links], 0)
    )


def _uploaded(data: bytes) -> None:
    """Read what a service answers to whoever uploads to it."""
    remote._error(400, remote._problem(data))
    remote._parsed(data, remote._Upload)


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


def _siwe(data: bytes) -> None:
    message = siwe.parse(data.decode())
    assert siwe.parse(message.text()) == message


def _dag_seeds() -> Iterator[bytes]:
    yield dagpb.encode_unixfs(dagpb.Unixfs(kind=dagpb.Kind.FILE, size=3, data=b"abc"))
    yield bytes.fromhex("0a020801")


_SIWE = (
    "market.example wants you to sign in with your Ethereum account:\n0x70997970C51812dc3A010C7d01b50e0d17dc79C8\n\nHi.\n\n"
    "URI: https://market.example/x\nVersion: 1\nChain ID: 1\nNonce: abcdefgh12345678\nIssued At: 2027-01-15T08:00:00Z"
)


_FORM = b'n--XX\r\nContent-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: text/plain\r\n\r\nabc\r\n--XX--\r\n'


def _car(data: bytes) -> None:
    for _ in car.CarReader(io.BytesIO(data)).blocks():
        pass


def _car_seeds() -> Iterator[bytes]:
    blocks = [(cid.cid_of(data), data) for data in (b"abc", bytes(300))]
    yield b"".join(car.write_car([blocks[0][0]], blocks))


def _accept(data: bytes) -> None:
    query, _, header_ = data.decode("latin-1").partition("\n")
    accept.choose({"format": query} if query else {}, header_.split("\n"))


def _abi(data: bytes) -> None:
    types = ("uint256", "bytes", "bytes32[]", "address", "string")
    abi.decode(types, data)


NETWORK: dict[str, Target] = {
    "tensors": Target(
        _tensors,
        literal(
            '{"id":"1","inputs":[{"name":"x","datatype":"FP32","shape":[2,2],"data":[[1,2.5],[3,4]]},'
            '{"name":"t","datatype":"BYTES","shape":[1],"data":["a"]}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}',
            '{"inputs":[{"name":"x","datatype":"INT8","shape":[3],"data":[1,-2,3]},{"name":"b","datatype":"BOOL","shape":[1],"data":[true]}]}',
        ),
    ),
    "tensors-binary": Target(_binary_tensors, _binary_seeds),
    "tensors-answer": Target(_answered, _answer_seeds),
    "payment": Target(_payment, _payment_seeds),
    "receipt-header": Target(_receipt, _receipt_seeds),
    "x402": Target(_x402, literal("eyJwYXlsb2FkIjp7InBheW1lbnQiOiJhYmMifX0="), (SteelyardError, Problem)),
    "gateway-path": Target(
        _gateway_path,
        literal(
            "POST /v2/models/m/versions/1/infer", f"GET /steelyard/v1/channels/{HEX}/answers/1", "GET /v2"
        ),
        (Problem,),
    ),
    "gateway-answer": Target(_told, literal(*_TOLD), (SteelyardError, ValueError)),
    "api-request": Target(_request, _request_seeds, (SteelyardError, Problem)),
    "api-headers": Target(
        _headers,
        literal(
            "bytes=0-5",
            "bytes=-5",
            "bytes 0-5/10",
            "7-0011223344556677",
            'W/"x", "y"',
            "gzip;q=0.5, *",
            "1.2.3.4, ::ffff:1.2.3.4",
        ),
        (Problem,),
    ),
    "api-words": Target(_words, literal("0x" + "11" * 64 + "1b", "0x" + "11" * 64, "12")),
    "cursor": Target(_cursor, _cursor_seeds),
    "webhook-url": Target(
        _url, literal("https://a.example:444/x?y", "https://[2606:4700::1]/", "https://1.1.1.1/")
    ),
    "chain-answer": Target(_chain, _chain_seeds, (SteelyardError, ValueError)),
    "event": Target(_event, _event_seeds),
    "revert": Target(
        lambda data: decode_revert(data),
        literal(
            bytes.fromhex("4e487b71") + bytes(31) + b"\x11",
            bytes.fromhex("08c379a0") + bytes(31) + b" " + bytes(64),
        ),
    ),
    "trustless": Target(_trustless, literal(*_TRUSTLESS), (SteelyardError, trustless.Refusal)),
    "dag-block": Target(_block, _block_seeds),
    "upload-answer": Target(_uploaded, literal('{"id":"1","missing":[],"stored":1,"code":"x","detail":"y"}')),
    "car": Target(_car, _car_seeds),
    "dag-pb": Target(lambda data: dagpb.decode_unixfs(dagpb.decode_node(data).data), _dag_seeds),
    "unixfs": Target(dagpb.decode_unixfs, _dag_seeds),
    "cid": Target(_cid, literal("bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")),
    "cid-bytes": Target(_raw_cid, literal(bytes.fromhex("01551220") + bytes(32))),
    "multipart": Target(_multipart, literal(_FORM, b"c5\r\n--XX-\r\n3\r\n-\r\n\r\n0\r\n\r\n")),
    "accept": Target(_accept, literal("raw\napplication/vnd.ipld.car; version=1; order=dfs, */*;q=0.5")),
    "raw-transaction": Target(raw.decode_raw, _transaction_seeds),
    "abi": Target(_abi, literal(bytes(32 * 12))),
    "siwe": Target(_siwe, literal(_SIWE), (SteelyardError, UnicodeDecodeError)),
    "rlp": Target(same(rlp.decode, rlp.encode), literal(bytes.fromhex("c88363617483646f67"), b"\x80")),  # type: ignore[arg-type],
}
