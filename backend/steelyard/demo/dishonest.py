"""A seller who cheats: what he publishes matches its commitment, and decrypts to something else.

The cheat is the strongest that the format allows: ciphertext and leaf list hash to the content root on the
chain, so no check before payment can find it. Only who holds the key can see that a leaf is not what its
salted hash says.
"""

from __future__ import annotations

import io
import secrets
from dataclasses import replace
from pathlib import Path

from steelyard.chain.calls import KeyProof
from steelyard.crypto import merkle
from steelyard.crypto.content import CHUNK_SIZE, Geometry, chunk_root
from steelyard.crypto.delivery import content_key, key_commitment, key_point, sign_key_ownership
from steelyard.crypto.derive import key_scalar
from steelyard.crypto.stream import SealedChunk, seal_chunk
from steelyard.domain import manifest as manifests
from steelyard.domain.node import Node
from steelyard.domain.types import (
    BASIS,
    AssetKind,
    Position,
    Version,
    account_word,
    asset_id,
    name_word,
)
from steelyard.market import Market
from steelyard.service import source as sources
from steelyard.service.public import CARD, CIPHERTEXT, LEAVES, MANIFEST, NODE, TAGS
from steelyard.storage.cid import digest_of, parse_cid


def publish_false(market: Market, folder: Path, *, name: str) -> str:
    """Publish a version with the leaf list of ``folder`` and random bytes as ciphertext; return its CID."""
    context = market.context
    creator, registry = context.account.address, context.deployment.assets
    word = name_word(name)
    asset = asset_id(chain_id=context.chain_id, registry=registry, creator=creator, name=word)
    node = Node(salt=asset, positions=(Position(account_word(creator), BASIS),))
    source = sources.collect(folder)
    salt = secrets.token_bytes(32)
    kappa = key_scalar(
        context.account.seed, salt=salt, chain_id=context.chain_id, registry=registry, asset=asset
    )
    manifest, sealed = manifests.build(source.files, key_salt=salt)
    plain = sources.Plaintext(sealed, source)
    key, geometry = content_key(key_point(kappa)), Geometry(manifest.size)

    def garbage(honest: SealedChunk) -> SealedChunk:
        other = secrets.token_bytes(min(CHUNK_SIZE, manifest.size - honest.index * CHUNK_SIZE))
        false = seal_chunk(honest.index, other, key=key, last=geometry.is_last(honest.index))
        root = chunk_root(honest.index, ciphertext=bytes(false.ciphertext), salted=honest.salted)
        return replace(false, salted=honest.salted, root=root)

    honest = (
        seal_chunk(index, plain.chunk(index).data, key=key, last=geometry.is_last(index))
        for index in range(geometry.chunks)
    )
    chunks = [garbage(chunk) for chunk in honest]
    cid = context.store.add_directory(
        {
            MANIFEST: io.BytesIO(manifest.to_bytes()),
            CARD: io.BytesIO((folder / "README.md").read_bytes()),
            CIPHERTEXT: io.BytesIO(b"".join(chunk.ciphertext for chunk in chunks)),
            TAGS: io.BytesIO(b"".join(chunk.tag for chunk in chunks)),
            LEAVES: io.BytesIO(b"".join(chunk.salted for chunk in chunks)),
            NODE: io.BytesIO(node.to_bytes()),
        }
    )
    context.store.pin(cid)
    version = Version(
        asset=asset,
        folder=digest_of(parse_cid(cid)),
        content_root=merkle.root(chunk.root for chunk in chunks),
        size=manifest.size,
        scheme=1,
        key=key_commitment(kappa),
        node=node.id,
    )
    v, r, s = sign_key_ownership(
        kappa, chain_id=context.chain_id, registry=registry, version=version.id, account=creator
    )
    proof = KeyProof(v, r.to_bytes(32, "big"), s.to_bytes(32, "big"))
    context.send(context.calls.register(word, AssetKind.MODEL, 0, version, proof))
    return cid
