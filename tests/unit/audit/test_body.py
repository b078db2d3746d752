"""All receipts and transactions of a block under its roots, with the ``trie`` package as oracle."""

from __future__ import annotations

import random
from typing import Any

import pytest
import rlp as oracle
from trie.hexary import HexaryTrie

from steelyard.audit import mpt
from steelyard.audit.body import encode_receipt, prove_receipts, prove_transactions
from steelyard.domain.hash import keccak256
from steelyard.errors import ProofError


def root_of(values: list[bytes]) -> bytes:
    trie = HexaryTrie({})
    for index, value in enumerate(values):
        trie[oracle.encode(oracle.sedes.big_endian_int.serialize(index))] = value
    root: bytes = trie.root_hash
    return root


def receipt(number: int, *, kind: int | None = 2) -> dict[str, Any]:
    logs = [
        {
            "address": "0x" + "aa" * 20,
            "topics": ["0x" + "bb" * 32] * (number % 5),
            "data": "0x" + "cc" * number,
        },
    ] * (number % 3)
    fields = {
        "status": "0x1",
        "cumulativeGasUsed": hex(21_000 * (number + 1)),
        "logsBloom": "0x" + "00" * 256,
    }
    return {**fields, "logs": logs, **({} if kind is None else {"type": hex(kind)})}


def encoded(fields: dict[str, Any]) -> bytes:
    logs = [
        [_raw(log["address"]), [_raw(topic) for topic in log["topics"]], _raw(log["data"])]
        for log in fields["logs"]
    ]
    gas = oracle.sedes.big_endian_int.serialize(int(fields["cumulativeGasUsed"], 16))
    status = _raw(fields["root"]) if "root" in fields else b"\x01" * (fields["status"] == "0x1")
    kind = int(fields.get("type", "0x0"), 16)
    body: bytes = oracle.encode([status, gas, _raw(fields["logsBloom"]), logs])
    return bytes([kind]) * (kind > 0) + body


def _raw(text: str) -> bytes:
    return bytes.fromhex(text[2:])


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 127, 128, 129, 256, 300])
def test_the_root_of_a_list_is_the_oracles(count: int) -> None:
    rng = random.Random(count)
    values = [rng.randbytes(rng.choice((1, 2, 31, 32, 33, 500))) for _ in range(count)]
    assert mpt.root_of(values) == root_of(values)


@pytest.mark.parametrize("kind", [None, 0, 1, 2, 3, 4])
def test_a_receipt_of_every_type(kind: int | None) -> None:
    for number in range(6):
        assert encode_receipt(receipt(number, kind=kind)) == encoded(receipt(number, kind=kind))


def test_a_receipt_that_failed_and_one_from_before_byzantium() -> None:
    failed = {**receipt(1), "status": "0x0"}
    old = {**receipt(1, kind=None), "status": None, "root": "0x" + "dd" * 32}
    assert encode_receipt(failed) == encoded(failed)
    assert encode_receipt(old) == encoded(old)


def test_all_receipts_prove_their_logs_and_no_others() -> None:
    answers = [receipt(number) for number in range(20)]
    root = root_of([encoded(answer) for answer in answers])
    logs = prove_receipts(root, answers)
    assert [len(one) for one in logs] == [number % 3 for number in range(20)]
    assert logs[5][0] == (b"\xaa" * 20, (), b"\xcc" * 5)
    for wrong in (answers[:-1], [*answers, receipt(20)], [answers[1], answers[0], *answers[2:]], []):
        with pytest.raises(ProofError, match="do not make the receipts root"):
            prove_receipts(root, wrong)


def test_all_transactions_prove_their_hashes() -> None:
    raw = [bytes([2]) + bytes([number]) * 100 for number in range(9)]
    assert prove_transactions(root_of(raw), raw) == tuple(keccak256(one) for one in raw)
    with pytest.raises(ProofError, match="do not make the transactions root"):
        prove_transactions(root_of(raw), raw[::-1])


@pytest.mark.parametrize(
    "change",
    [
        {"status": None},
        {"status": "1"},
        {"cumulativeGasUsed": "0x"},
        {"cumulativeGasUsed": 7},
        {"logsBloom": "0xzz"},
        {"logs": None},
        {"logs": [None]},
        {"logs": [{"address": "0x", "topics": None, "data": "0x"}]},
        {"logs": [{"address": "0x", "topics": [1], "data": "0x"}]},
        {"type": "0x80"},
        {"type": "0x" + "1" * 80},
    ],
)
def test_what_is_no_receipt_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProofError):
        encode_receipt({**receipt(1), **change})
