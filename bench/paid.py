"""Metered use: vouchers signed and verified, and hosted calls with and without payment."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from bench.rounds import interleave
from bench.row import Outcome, Row, Skipped
from bench.setting import Setting
from steelyard.errors import InputError

_VOUCHERS = 2_000
_PEER = 100
_CALLS = 960
_CHANNELS = 8
_EACH = 6
"""Calls at a time in one channel."""
_IN_FLIGHT = 16
_BAR_C = 0.8
_BAR_PAID = 0.85


def rows(setting: Setting) -> list[Outcome]:
    """Return the rows of this topic."""
    return [
        *_vouchers(setting),
        _paid(setting, "50 trees", _trees),
        _paid(setting, "600 million operations", _network),
    ]


def _vouchers(setting: Setting) -> list[Outcome]:
    from coincurve import PrivateKey, PublicKey
    from eth_account import Account
    from eth_account.messages import encode_typed_data

    from steelyard.crypto.metering import Signer, check
    from steelyard.crypto.secret import Secret
    from steelyard.domain.metering import ChannelId, Voucher, domain_separator
    from steelyard.domain.types import Address

    secret = bytes(range(1, 33))
    signer, bare = Signer(Secret(secret)), PrivateKey(secret)
    contract = Address(b"\x11" * 20)
    separator = domain_separator(chain_id=1, channels=contract)
    vouchers = [
        Voucher(
            channel=ChannelId(b"\x22" * 32),
            amount=7 * i,
            units=i,
            sequence=i,
            root=sha256(b"%d" % i).digest(),
        )
        for i in range(1, _VOUCHERS + 1)
    ]
    digests = [voucher.digest(separator) for voucher in vouchers]
    signatures = [signer.sign(digest) for digest in digests]
    raw = [signature[:64] + bytes([signature[64] - 27]) for signature in signatures]
    fields = ["bytes32 channel", "uint128 amount", "uint128 units", "uint64 sequence", "bytes32 receiptsRoot"]
    types = {"Voucher": [dict(zip(("type", "name"), item.split(" "), strict=True)) for item in fields]}
    domain = {
        "name": "Steelyard Channels",
        "version": "1",
        "chainId": 1,
        "verifyingContract": "0x" + contract.hex(),
    }

    def message(voucher: Voucher) -> Any:
        values = {
            "channel": voucher.channel,
            "amount": voucher.amount,
            "units": voucher.units,
            "sequence": voucher.sequence,
            "receiptsRoot": voucher.root,
        }
        return encode_typed_data(domain, types, values)

    account = Account.from_key(secret)
    signed = interleave(
        {
            "ours": lambda: [signer.sign(voucher.digest(separator)) for voucher in vouchers],
            "peer": lambda: [account.sign_message(message(voucher)) for voucher in vouchers[:_PEER]],
            "limit": lambda: [bare.sign_recoverable(digest, hasher=None) for digest in digests],
        },
        rounds=setting.rounds,
    )

    def verify() -> None:
        for voucher, signature in zip(vouchers, signatures, strict=True):
            check(voucher.digest(separator), signature, signer.address, "voucher")

    def verify_peer() -> None:
        for voucher, signature in zip(vouchers[:_PEER], signatures, strict=False):
            if Account.recover_message(message(voucher), signature=signature) != account.address:
                raise RuntimeError("the peer does not agree")

    verified = interleave(
        {
            "ours": verify,
            "peer": verify_peer,
            "limit": lambda: [
                PublicKey.from_signature_and_message(item, digest, hasher=None)
                for item, digest in zip(raw, digests, strict=True)
            ],
        },
        rounds=setting.rounds,
    )
    found: list[Outcome] = []
    for name, timings in (("voucher signed (EIP-712)", signed), ("voucher verified", verified)):
        limit = _VOUCHERS / timings.median("limit")
        found.append(
            Row(
                name=name,
                unit="/s",
                ours=_VOUCHERS / timings.median("ours"),
                peer=_PEER / timings.median("peer"),
                limit=limit,
                share=_BAR_C,
                ratio=timings.speedup("ours", "limit"),
                against="libsecp256k1 through coincurve, the digest given; peer: eth-account",
            )
        )
    return found


# -- calls -------------------------------------------------------------------------------------------------------------


def _paid(setting: Setting, name: str, make: Callable[[Path], Any]) -> Outcome:
    try:
        with _hosted(setting.folder / name, make) as load:
            timings = interleave(
                {"paid": lambda: load(True), "unpaid": lambda: load(False)}, rounds=setting.rounds
            )
    except InputError as exc:
        return Skipped(f"paid call, {name}", str(exc))
    unpaid = _CALLS / timings.median("unpaid")
    return Row(
        name=f"paid call, {name}",
        unit="/s",
        ours=_CALLS / timings.median("paid"),
        limit=unpaid,
        share=_BAR_PAID,
        ratio=timings.speedup("paid", "unpaid"),
        against=f"the same call unpaid: one row, {_CHANNELS * _EACH} calls at a time, each receipt verified",
    )


def _trees(folder: Path) -> Any:
    from steelyard.demo.model import train

    return train(folder, trees=50).images


def _network(folder: Path) -> Any:
    """Write three convolutions over 8x8 pixels, 600 million operations a row, with random weights; returns inputs for it."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    rng, channels = np.random.default_rng(1), (1, 512, 512, 512)
    shape = numpy_helper.from_array(np.array([-1, 1, 8, 8], dtype=np.int64), "shape")
    nodes, weights, last = [helper.make_node("Reshape", ["X", "shape"], ["P"])], [shape], "P"
    for i, (before, after) in enumerate(itertools.pairwise(channels)):
        kernel = (rng.standard_normal((after, before, 3, 3)) / (9 * before) ** 0.5).astype(np.float32)
        weights.append(numpy_helper.from_array(kernel, f"W{i}"))
        nodes.append(helper.make_node("Conv", [last, f"W{i}"], [f"C{i}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"C{i}"], [f"R{i}"]))
        last = f"R{i}"
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["G"]),
        helper.make_node("Flatten", ["G"], ["Y"]),
    ]
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 64])]
    outputs = [helper.make_tensor_value_info("Y", TensorProto.FLOAT, ["n", channels[-1]])]
    graph = helper.make_graph(nodes, "network", inputs, outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return rng.random((256, 64), dtype=np.float32)


@contextmanager
def _hosted(folder: Path, make: Callable[[Path], Any]) -> Iterator[Callable[[bool], None]]:
    """Host a real model in a process of its own, and yield what calls it so many times."""
    import secrets

    from steelyard.api.processes import Launch, Processes
    from steelyard.api.server import listen, url_of
    from steelyard.api.startup import shared_memory
    from steelyard.chain.calls import Call
    from steelyard.chain.deploy import deploy
    from steelyard.chain.node import Node, find_anvil
    from steelyard.chain.rpc import Rpc
    from steelyard.chain.sender import Sender
    from steelyard.config import Config
    from steelyard.crypto.secret import Secret
    from steelyard.gateway import startup as startups
    from steelyard.gateway.app import ENDPOINTS
    from steelyard.gateway.counters import size_of
    from steelyard.gateway.hosted import prepare
    from steelyard.gateway.state import Options
    from steelyard.market import Market
    from steelyard.service.account import Account
    from steelyard.service.context import Settings
    from steelyard.storage.embedded import EmbeddedStore

    images = make(folder / "model")
    with Node.start(find_anvil()) as node, Rpc(node.url, chain_id=node.chain_id) as rpc:
        faucet = Sender(rpc, lambda: node.keys[0], poll=0.02)
        deployment = deploy(faucet, min_bond=10**16)
        deployment.save(folder / "home" / "deployments" / f"{node.chain_id}.json")
        store = EmbeddedStore(folder / "store")
        account = Account.from_key(Secret(secrets.token_bytes(32)))
        faucet.send(Call(account.address, b"", 10**21))
        market = Market(
            node.url,
            deployment=deployment,
            store=store,
            account=account,
            home=folder / "own",
            settings=Settings(poll=0.02, margin=0),
        )
        ref = market.publish(folder / "model", name="digits").ref
        market.offer_metered(ref, price=10**6, in_flight=_IN_FLIGHT)
        wanted = prepare(market, ref)
        opened = listen("127.0.0.1:0")
        url = url_of(opened)
        memory = shared_memory(size_of(1, len(ENDPOINTS), 1))
        files = (opened.detach(), memory)
        startup = startups.Startup(
            config=Config(home=folder / "home", rpc=node.url, store=str(folder / "store")),
            options=Options(unpaid=True),
            wanted=(wanted,),
            key=account.key.reveal().hex(),
            seed=account.seed.reveal().hex(),
            quiet=True,
            socket=files[0],
            memory=memory,
        )
        launch = Launch(kind="gateway", module=startups.MODULE, line=startups.dump(startup), files=files)
        processes = Processes([launch], tell=lambda kind, why: None)
        processes.start()
        try:
            with _payers(market, wanted, url, images) as load:
                yield load
        finally:
            processes.stop()
            market.close()


@contextmanager
def _payers(market: Any, wanted: Any, url: str, images: Any) -> Iterator[Callable[[bool], None]]:
    from steelyard.crypto.metering import Signer
    from steelyard.metering.payer import PayerBooks
    from steelyard.metering.tensors import write_request
    from steelyard.metering.wire import read_receipt
    from steelyard.service import metered
    from steelyard.service.usage_http import GatewayClient, GatewayError, payment_header

    context, offer = market.context, wanted.offers[-1]
    payee = Signer(context.account.key).point
    client = GatewayClient(url)
    for _ in range(600):
        try:
            client.model("digits")
            break
        except Exception:  # noqa: BLE001  # it is starting
            time.sleep(0.05)
    payers = []
    for _ in range(_CHANNELS):
        agreement, _mined = metered.open_channel(context, offer.asset, offer.terms, amount=10**18)
        payers.append((agreement, metered.signer_of(context, agreement.nonce), PayerBooks(agreement)))
    bodies = [write_request({"X": images[i : i + 1]}) for i in range(64)]
    digests = [sha256(body).digest() for body, _ in bodies]
    locks = [threading.Lock() for _ in payers]

    def paid(place: int) -> None:
        agreement, signer, books = payers[place % _CHANNELS]
        lock = locks[place % _CHANNELS]
        for turn in range(_CALLS // (_CHANNELS * _EACH)):
            body, header = bodies[turn % len(bodies)]
            with lock:
                made = books.begin(digests[turn % len(bodies)], 1)
                signed = books.voucher(signer, fresh=False)
            while True:
                text = payment_header(agreement, signer, payee, signed, call=made.call)
                try:
                    answer = client.infer("digits", 1, body, header, text)
                    break
                except GatewayError as exc:
                    if exc.code != "in-flight":
                        raise
                with lock:  # one answer is late, and those after it cannot be co-signed before it
                    signed = books.voucher(signer)
            assert answer.receipt is not None
            receipt, signature = read_receipt(
                answer.receipt, channel=agreement.channel, version=agreement.version
            )
            with lock:
                books.accept(made.call, receipt, signature, response=sha256(answer.body).digest())

    def unpaid(place: int) -> None:
        del place
        for turn in range(_CALLS // (_CHANNELS * _EACH)):
            client.infer("digits", 1, *bodies[turn % len(bodies)], None)

    with ThreadPoolExecutor(_CHANNELS * _EACH) as pool:

        def load(with_payment: bool) -> None:
            list(pool.map(paid if with_payment else unpaid, range(_CHANNELS * _EACH)))

        yield load
    client.close()
