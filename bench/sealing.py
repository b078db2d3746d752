"""Sealing in memory against bare loops: AES-256-GCM and SHA-256, one thread and two."""

from __future__ import annotations

import hashlib
import io
import os
from functools import partial

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench import bare
from bench.rounds import interleave
from bench.row import Outcome, Row
from bench.setting import MB, MIB, Setting
from steelyard.crypto import stream
from steelyard.crypto.secret import Secret

_SIZE = 48 * MIB


def rows(setting: Setting) -> list[Outcome]:
    """Return the rows."""
    data = os.urandom(_SIZE)
    parts = bare.chunks(data)

    def ours(threads: int) -> None:
        bare.drain(stream.seal(io.BytesIO(data), key=Secret(bare.KEY), size=_SIZE, threads=threads))

    def by_leaf(threads: int) -> None:
        bare.drain(bare.in_order(lambda part: bare.encrypt_by_leaf(*part), parts, threads))

    def one_digest() -> None:
        bare.drain(bare.encrypt(*part, digests_of_ciphertext=1, digests_of_plaintext=0) for part in parts)

    def one_shot() -> None:
        hashlib.sha256(AESGCM(bare.KEY).encrypt(bare.nonce(0), data, None)).digest()

    times = interleave(
        {
            "ours 1": partial(ours, 1),
            "ours 2": partial(ours, 2),
            "same 1": partial(by_leaf, 1),
            "same 2": partial(by_leaf, 2),
            "less 1": one_digest,
            "one shot": one_shot,
        },
        rounds=setting.rounds,
    )

    def speed(name: str) -> float:
        return _SIZE / MB / times.median(name)

    found: list[Outcome] = []
    for name, own, other, bar, against in (
        ("seal, 1 thread", "ours 1", "same 1", 0.9, "limit: GCM, SHA-256 of each 4 KiB of both sides"),
        ("seal, 2 threads", "ours 2", "same 2", 0.9, "limit: the same with 2 threads"),
        (
            "seal, 1 thread, to one digest",
            "ours 1",
            "less 1",
            0.9,
            "limit: GCM, SHA-256 of the ciphertext by the MiB, none of plaintext",
        ),
    ):
        found.append(
            Row(
                name=name,
                unit="MB/s",
                ours=speed(own),
                peer=speed("one shot"),
                limit=speed(other),
                share=bar,
                ratio=times.speedup(own, other),
                against=f"{against}; peer: one-shot GCM and SHA-256 of the whole",
            )
        )
    found.append(
        Row(
            name="seal, 2 threads to 1",
            unit="x",
            ours=times.speedup("ours 2", "ours 1"),
            limit=times.speedup("same 2", "same 1"),
            bar=1.6,
            against="limit: the bare loop's gain; a busy machine has none",
        )
    )
    return found
