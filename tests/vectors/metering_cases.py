"""Cases of metering.json: ids, digests and signatures of metered use, trees of receipts with their proofs, and forms that do not count."""

from __future__ import annotations

from typing import Any

from delivery_cases import hexed, label, word

from steelyard.crypto.curve import N
from steelyard.crypto.metering import Signer, compact
from steelyard.crypto.secret import Secret
from steelyard.domain import mmr
from steelyard.domain.abi import encode
from steelyard.domain.hash import keccak256
from steelyard.domain.metering import (
    METERED_TERMS,
    ChannelId,
    MeteredTerms,
    Receipt,
    Voucher,
    amount_of,
    channel_id,
    domain_separator,
    unit_word,
)
from steelyard.domain.types import Address, AssetId, NodeId, VersionId

CHAIN = 31337
CONTRACT = Address(label("metering/channels")[12:])
PAYEE = Signer(Secret(label("metering/payee")))
SIGNER = Signer(Secret(label("metering/signer")))
COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 33, 100)
PRICE = 10**14


def terms(name: str, **changes: Any) -> MeteredTerms:
    """Return terms that depend on a name."""
    values: dict[str, Any] = {
        "payee": PAYEE.address,
        "currency": Address(bytes(20)),
        "price": PRICE,
        "unit": unit_word("row"),
        "version": VersionId(label(f"metering/version/{name}")),
        "node": NodeId(label(f"metering/node/{name}")),
        "window": 86_400,
        "in_flight": 8,
        "expiry": 1_900_000_000,
        "text": label(f"metering/text/{name}"),
        "salt": 7,
    }
    return MeteredTerms(**{**values, **changes})


def channel_of(name: str, found: MeteredTerms, *, nonce: int, chain: int = CHAIN) -> dict[str, Any]:
    """Return a row of ``channels``."""
    asset, payer = AssetId(label(f"metering/asset/{name}")), Address(label(f"metering/payer/{name}")[12:])
    offer = found.id(asset)
    channel = channel_id(
        chain_id=chain, channels=CONTRACT, offer=offer, payer=payer, signer=SIGNER.address, nonce=nonce
    )
    return {
        "asset": hexed(asset),
        "chainId": chain,
        "channel": hexed(channel),
        "contract": hexed(CONTRACT),
        "currency": hexed(found.currency),
        "domain": hexed(domain_separator(chain_id=chain, channels=CONTRACT)),
        "expiry": found.expiry,
        "inFlight": found.in_flight,
        "name": name,
        "node": hexed(found.node),
        "nonce": nonce,
        "offer": hexed(offer),
        "payee": hexed(found.payee),
        "payer": hexed(payer),
        "price": hexed(found.price.to_bytes(32, "big")),
        "salt": found.salt,
        "signer": hexed(SIGNER.address),
        "termsHash": hexed(keccak256(encode((METERED_TERMS,), (found.abi(),)))),
        "text": hexed(found.text),
        "unit": hexed(found.unit),
        "version": hexed(found.version),
        "window": found.window,
    }


def channels() -> list[dict[str, Any]]:
    """Return the rows of ``channels``."""
    largest = terms(
        "largest",
        currency=Address(label("metering/token")[12:]),
        price=(1 << 128) - 1,
        unit=unit_word("call"),
        window=30 * 86_400,
        in_flight=(1 << 16) - 1,
        expiry=(1 << 40) - 1,
        salt=(1 << 53) - 1,
    )
    return [
        channel_of("digits", terms("digits"), nonce=1),
        channel_of("another nonce", terms("digits"), nonce=2),
        channel_of("another chain", terms("digits"), nonce=1, chain=1),
        channel_of("largest", largest, nonce=(1 << 53) - 1),
    ]


def receipts_of(channel: ChannelId, version: VersionId, count: int) -> list[Receipt]:
    """Return receipts of a channel."""
    return [
        Receipt(
            channel=channel,
            sequence=i,
            version=version,
            units=1 + i % 3,
            request=label(f"metering/request/{i}"),
            response=label(f"metering/response/{i}"),
        )
        for i in range(1, count + 1)
    ]


def build() -> dict[str, Any]:
    """Return the document."""
    separator = domain_separator(chain_id=CHAIN, channels=CONTRACT)
    rows = channels()
    channel = ChannelId(bytes.fromhex(rows[0]["channel"][2:]))
    made = receipts_of(channel, terms("digits").version, max(COUNTS))
    digests = [item.digest(separator) for item in made]
    return {
        "channels": rows,
        "proofs": proofs(digests),
        "receipts": [receipt_row(item, separator) for item in made[:8]],
        "signatures": signatures(voucher(channel, made, digests, 5).digest(separator)),
        "vouchers": [
            voucher_row(voucher(channel, made, digests, count), separator) for count in (0, *COUNTS)
        ],
    }


def voucher(channel: ChannelId, made: list[Receipt], digests: list[bytes], count: int) -> Voucher:
    """Return the voucher over the first receipts."""
    units = sum(item.units for item in made[:count])
    return Voucher(
        channel=channel,
        amount=amount_of(units, PRICE),
        units=units,
        sequence=count,
        root=mmr.root(digests[:count]),
    )


def voucher_row(found: Voucher, separator: bytes) -> dict[str, Any]:
    """Return a row of ``vouchers``."""
    digest = found.digest(separator)
    signature = SIGNER.sign(digest)
    r, vs = compact(signature)
    return {
        "amount": word(found.amount),
        "channel": hexed(found.channel),
        "digest": hexed(digest),
        "name": f"{found.sequence} receipts",
        "r": hexed(r),
        "root": hexed(found.root),
        "s": hexed(signature[32:64]),
        "sequence": found.sequence,
        "units": found.units,
        "v": signature[64],
        "vs": hexed(vs),
    }


def receipt_row(found: Receipt, separator: bytes) -> dict[str, Any]:
    """Return a row of ``receipts``."""
    digest = found.digest(separator)
    return {
        "channel": hexed(found.channel),
        "digest": hexed(digest),
        "leaf": hexed(mmr.leaf(digest)),
        "name": f"receipt {found.sequence}",
        "request": hexed(found.request),
        "response": hexed(found.response),
        "sequence": found.sequence,
        "signature": hexed(PAYEE.sign(digest)),
        "units": found.units,
        "version": hexed(found.version),
    }


def proofs(digests: list[bytes]) -> list[dict[str, Any]]:
    """Return paths of receipts, and what is nearly one."""
    rows = []

    def row(
        name: str,
        *,
        good: bool,
        sequence: int,
        count: int,
        path: tuple[bytes, ...],
        root: bytes,
        digest: bytes,
    ) -> None:
        rows.append(
            {
                "count": count,
                "digest": hexed(digest),
                "good": good,
                "name": name,
                "path": hexed(b"".join(path)),
                "root": hexed(root),
                "sequence": sequence,
            }
        )

    for count in COUNTS:
        root = mmr.root(digests[:count])
        for sequence in sorted({1, 2, count // 2, count - 1, count} & set(range(1, count + 1))):
            path = mmr.prove(digests[:count], sequence)
            mmr.verify(digests[sequence - 1], sequence=sequence, count=count, path=path, root=root)
            row(
                f"{sequence} of {count}",
                good=True,
                sequence=sequence,
                count=count,
                path=path,
                root=root,
                digest=digests[sequence - 1],
            )
    root, path, digest = mmr.root(digests[:7]), mmr.prove(digests[:7], 5), digests[4]
    base: dict[str, Any] = {"sequence": 5, "count": 7, "path": path, "root": root, "digest": digest}
    swapped = (path[1], path[0], *path[2:])
    for name, change in {
        "another receipt": {"digest": digests[5]},
        "another place": {"sequence": 6},
        "another number of receipts": {"count": 8},
        "path too short": {"path": path[:-1]},
        "path too long": {"path": (*path, bytes(32))},
        "siblings swapped": {"path": swapped},
        "place 0": {"sequence": 0},
        "place behind the last": {"sequence": 8},
        "no receipts at all": {"sequence": 1, "count": 0, "path": (), "root": bytes(32)},
        "root without its number": {"root": mmr.inner(mmr.leaf(digest), path[0])},
        "inner node as a receipt": {
            "digest": mmr.inner(mmr.leaf(digest), path[0]),
            "path": path[1:],
            "count": 4,
        },
    }.items():
        row(name, good=False, **{**base, **change})
    return rows


def signatures(digest: bytes) -> list[dict[str, Any]]:
    """Return the one form of a signature that counts, and the forms that do not."""
    good = SIGNER.sign(digest)
    r, s, v = good[:32], int.from_bytes(good[32:64], "big"), good[64]
    high = (N - s).to_bytes(32, "big")
    forms = {
        "good": good,
        "high s": r + high + bytes([27 + 28 - v]),
        "high s, v as it was": r + high + bytes([v]),
        "v of 0 or 1": good[:64] + bytes([v - 27]),
        "the other v": good[:64] + bytes([27 + 28 - v]),
        "v of 29": good[:64] + bytes([29]),
        "64 bytes, compact": b"".join(compact(good)),
        "one byte more": good + b"\x00",
        "empty": b"",
        "r of zero": bytes(32) + good[32:],
        "s of zero": r + bytes(32) + bytes([v]),
        "r of n": N.to_bytes(32, "big") + good[32:],
        "all zero": bytes(65),
    }
    return [
        {"digest": hexed(digest), "good": name == "good", "name": name, "signature": hexed(form)}
        for name, form in forms.items()
    ]
