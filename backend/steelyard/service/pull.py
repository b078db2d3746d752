"""Pull: fetch, decrypt and check a version, and put its files where they belong, at once or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from steelyard.crypto.content import CHUNK_SIZE
from steelyard.crypto.stream import OpenedChunk
from steelyard.domain.manifest import FileEntry, parse_sealed
from steelyard.domain.records import AssetState, PurchaseState, VersionState
from steelyard.errors import (
    InputError,
    LeafError,
    ManifestError,
    NotFoundError,
    RefusedError,
    SteelyardError,
    VerificationError,
)
from steelyard.service.cache import (
    AssetCache,
    Known,
    copy,
    file_digest,
    link_or_copy,
    pick,
    select,
    sync_folder,
)
from steelyard.service.checked import kept_roots
from steelyard.service.chunks import Opened
from steelyard.service.context import Context
from steelyard.service.declare import compare
from steelyard.service.files import writing
from steelyard.service.keyring import Keyring
from steelyard.service.keys import OwnKey, Received, find_proof, from_purchase, no_key, received
from steelyard.service.naming import asset_name, find_purchase, find_version
from steelyard.service.public import Progress, PublicFolder, open_folder
from steelyard.service.results import Purchase
from steelyard.service.staging import Needed, Spoilt, Stage


def pull(
    context: Context,
    what: str | bytes | Purchase,
    dest: Path | None,
    *,
    include: Sequence[str],
    exclude: Sequence[str],
    progress: Progress | None,
    allow_code: bool = False,
) -> Path:
    """Write a version's files; see :meth:`steelyard.Market.pull`."""
    if context.settings.offline:
        return _from_cache(context, what, dest, include=include, exclude=exclude)
    asset, version, item = find_key(context, what)
    name = asset_name(context, asset, version.number)
    folder = open_folder(context, version.commitments)
    wanted = select(folder.manifest, include, exclude)
    cache = AssetCache(context.home, asset.id)
    if dest is None and cache.has(version.number, version.id, wanted):
        return cache.place(version.number, version.id)
    target = None if dest is None else _free(Path(os.path.abspath(dest)))
    with writing(cache.path), cache.lock():
        source = _Source(context, version, item, name=name, cache=cache, folder=folder)
        known = source.known()
        if target is not None and _is_there(target, wanted, known):
            return target
        files = source.files(known, wanted, progress=progress)
        places = {path: place for path, (place, _) in files.items()}
        for text in compare(places, wanted, allow_code=allow_code):
            warnings.warn(f"{name}: {text}", stacklevel=2)
        if target is None:
            made = _into_cache(cache, known, files)
        else:
            made = _into_folder(target, files)
        source.stage.finish({known.digests[entry.path] for entry in wanted})
    return made


def _from_cache(
    context: Context, what: object, dest: Path | None, *, include: Sequence[str], exclude: Sequence[str]
) -> Path:
    """Return a version's files without asking anybody: what was pulled before.

    Raises:
        NotFoundError: it was not, or not all of it.
        InputError: the version is not named by a reference.
    """
    cache, known = find_pulled(context, what)
    wanted = select(known.manifest, include, exclude)
    if not cache.has(known.number, known.version, wanted):
        raise NotFoundError(f"not all of {known.ref} is on this machine: pull it once without offline")
    place = cache.place(known.number, known.version)
    if dest is None:
        return place
    target = _free(Path(os.path.abspath(dest)))
    if _is_there(target, wanted, known):
        return target
    return _into_folder(target, {entry.path: (place / entry.path, False) for entry in wanted})


def find_pulled(context: Context, what: object) -> tuple[AssetCache, Known]:
    """Return a version that was pulled before, by a reference, without asking anybody.

    Raises:
        NotFoundError: none was.
        InputError: it is no reference.
    """
    if not isinstance(what, str):
        raise InputError("offline a version is named by a reference, such as alice/digits@2")
    ref = context.parse(what)
    cache = AssetCache(
        context.home, ref.asset_id(chain_id=context.chain_id, registry=context.deployment.assets)
    )
    return cache, pick(cache.all_known(), ref.version, name=what)


def find_key(
    context: Context, what: str | bytes | Purchase
) -> tuple[AssetState, VersionState, Received | OwnKey]:
    """Return the version meant and a delivery of its key to the account, or the key that it sells itself.

    Raises:
        RefusedError: none was delivered that the account's seed opens, and it is not the account's own.
        NotFoundError: there is no such version or purchase.
    """
    if isinstance(what, str) and ("/" in what or "@" in what):
        asset, version = find_version(context, what)
        return asset, version, _newest(context, asset, version)
    try:
        asset, purchase = find_purchase(context, what)
    except NotFoundError:
        if not isinstance(what, str):
            raise
        asset, version = find_version(context, what)  # an asset's id looks like a purchase's
        return asset, version, _newest(context, asset, version)
    version = asset.versions[purchase.version]
    return asset, version, _of_purchase(context, asset, version, purchase)


def _newest(context: Context, asset: AssetState, version: VersionState) -> Received | OwnKey:
    found = received(context, asset, version)
    if found:
        return found[0]
    try:
        return OwnKey(kappa=Keyring(context).kappa(version.commitments))
    except SteelyardError as exc:
        raise no_key(context, asset, version, name=asset_name(context, asset, version.number)) from exc


def _of_purchase(
    context: Context, asset: AssetState, version: VersionState, purchase: PurchaseState
) -> Received | OwnKey:
    if purchase.buyer == context.account.address and purchase.delivered is not None:
        item = from_purchase(context, asset, purchase)
        if item is None:
            raise RefusedError(
                f"purchase 0x{purchase.id.hex()} was made with another seed: use the one it was made with"
            )
        return item
    return _newest(context, asset, version)


class _Source:
    """One version that the account has the key of, and where its files come from."""

    def __init__(
        self,
        context: Context,
        version: VersionState,
        item: Received | OwnKey,
        *,
        name: str,
        cache: AssetCache,
        folder: PublicFolder,
    ) -> None:
        self._context = context
        self._version = version
        self._item = item
        self._name = name
        self._cache = cache
        self._folder = folder
        self._opened = open_version(context, version, item, folder=folder)
        self._tags_match = True
        self.stage = Stage(cache.partial(version.id))

    def known(self) -> Known:
        """Return the version's manifests; the sealed one is fetched and opened if it was not before."""
        found = self._cache.known(self._version.id)
        if found is not None and found.manifest == self._folder.manifest:
            return found
        manifest, parts = self._folder.manifest, []
        with self._blaming():
            for index in range(-(-manifest.sealed_size // CHUNK_SIZE)):
                chunk = self._opened.open(index)
                self._seen(chunk)
                self.stage.note_root(index, chunk.root)
                parts.append(chunk.plaintext)
            sealed = b"".join(parts)[: manifest.sealed_size]
            digests = parse_sealed(sealed, manifest=manifest)
        known = Known(
            ref=self._name,
            asset=self._version.commitments.asset,
            version=self._version.id,
            number=self._version.number,
            manifest=manifest,
            digests=digests,
        )
        self._cache.remember(known, sealed=sealed)
        return known

    def files(
        self, known: Known, wanted: Sequence[FileEntry], *, progress: Progress | None
    ) -> dict[str, tuple[Path, bool]]:
        """Return a checked file for each path that is wanted, and whether it is new here."""
        found: dict[bytes, tuple[Path, bool]] = {}
        needed: dict[bytes, Needed] = {}
        for entry in wanted:
            digest = known.digests[entry.path]
            if digest in found or digest in needed:
                continue
            blob = self._cache.blob(digest, entry.size)
            if blob is not None:
                found[digest] = blob, False
            else:
                needed[digest] = Needed(entry=entry, digest=digest)
                found[digest] = self.stage.whole(digest), True
        with self._blaming():
            self._fetch(list(needed.values()), progress)
        commitments = self._version.commitments
        self.stage.check_roots(size=commitments.size, root=commitments.content_root)
        if not self._tags_match:
            warnings.warn(
                f"{self._name}: a tag is wrong, but every leaf is what was committed; the files are accepted",
                stacklevel=2,
            )
        return {entry.path: found[known.digests[entry.path]] for entry in wanted}

    def _fetch(self, needed: Sequence[Needed], progress: Progress | None) -> None:
        threads = self._context.settings.threads
        while True:
            try:
                self.stage.fetch(self._opened, needed, threads=threads, progress=progress, opening=self._seen)
            except Spoilt:
                continue  # it was removed, so this ends
            return

    def _seen(self, chunk: OpenedChunk) -> None:
        self._tags_match &= chunk.tag_matches

    @contextmanager
    def _blaming(self) -> Iterator[None]:
        """Say of an error who is at fault."""
        try:
            yield
        except LeafError as exc:
            text = _accusation(self._context, self._version, self._item, self._name, exc)
            raise LeafError(text, leaf=exc.leaf) from exc
        except (ManifestError, InputError) as exc:
            raise VerificationError(
                f"{self._name} was opened, and what is inside breaks the format: {exc}"
            ) from exc


def open_version(
    context: Context, version: VersionState, item: Received | OwnKey, *, folder: PublicFolder
) -> Opened:
    """Return the plaintext of a version; each chunk is compared with the chain if the version was checked here before."""
    return Opened(
        context.store,
        folder,
        key=item.content_key(version.commitments),
        roots=kept_roots(context, version.commitments),
    )


def _accusation(
    context: Context, version: VersionState, item: Received | OwnKey, name: str, exc: LeafError
) -> str:
    if isinstance(item, OwnKey):
        return f"{name}: leaf {exc.leaf} is not what this account committed to; nothing was written"
    # A key that opens every leaf needs no proof. Of one that does not, either the seller or the endpoint
    # lied.
    if find_proof(context, item, version.commitments) is None:
        return (
            f"{name}: with the key that the endpoint reports, leaf {exc.leaf} is not what the seller committed to; nothing was "
            "written. The endpoint shows no proof of that key, so it may lie about it: try another one, which can trace"
        )
    text = f"{name}: leaf {exc.leaf} is not what the seller committed to; nothing was written. "
    if item.purchase is None:
        return text + "Who bought it with a content window can dispute it."
    if context.now() <= item.purchase.due:
        return text + f"Dispute purchase 0x{item.purchase.id.hex()} now: the contract gives the money back."
    return (
        text
        + f"The content window of purchase 0x{item.purchase.id.hex()} is over, so the money cannot be had back."
    )


def _free(dest: Path) -> Path:
    if os.path.lexists(dest) and (dest.is_symlink() or not dest.is_dir()):
        raise InputError(f"{dest} exists and is no folder: choose another place")
    return dest


def _is_there(dest: Path, wanted: Sequence[FileEntry], known: Known) -> bool:
    """Whether a folder has the files already, itself and not by links.

    Raises:
        InputError: it holds something else.
    """
    with writing(dest):
        if not dest.exists() or not any(dest.iterdir()):
            return False
        own = dest.resolve()
        places = [own / entry.path for entry in wanted]
        if all(place.resolve() == place for place in places) and all(
            file_digest(place) == known.digests[entry.path]
            for place, entry in zip(places, wanted, strict=True)
        ):
            return True
    raise InputError(f"{dest} exists and holds something else: choose another place")


def _into_cache(cache: AssetCache, known: Known, files: Mapping[str, tuple[Path, bool]]) -> Path:
    blobs: dict[str, Path] = {}
    taken: dict[Path, Path] = {}
    for path, (source, new) in files.items():
        if new and source not in taken:
            taken[source] = cache.take(source, known.digests[path])
        blobs[path] = taken.get(source, source)
    return cache.link(known, blobs)


def _into_folder(dest: Path, files: Mapping[str, tuple[Path, bool]]) -> Path:
    """Put files into a folder of the caller's, all at once: new ones by a link, others as copies of their own."""
    with writing(dest):
        dest.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=dest.parent, prefix=f".{dest.name[:100]}-"))
        try:
            os.chmod(temporary, 0o755)
            used: set[Path] = set()
            for path, (source, new) in files.items():
                place = temporary / path
                place.parent.mkdir(parents=True, exist_ok=True)
                if new and source not in used:
                    used.add(source)
                    link_or_copy(source, place)
                else:
                    copy(source, place)
            try:
                os.rename(temporary, dest)  # replaces an empty folder, and nothing else
            except OSError as exc:
                raise InputError(f"{dest} exists and holds something else: choose another place") from exc
            sync_folder(dest.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return dest
