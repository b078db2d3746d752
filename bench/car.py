"""Archives out of the store and into it, against `cp` of the same bytes."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from pathlib import Path

from bench.rounds import interleave
from bench.row import Outcome, Row
from bench.setting import MB, MIB, Setting
from steelyard.storage.car import export_car, import_car
from steelyard.storage.embedded import EmbeddedStore

_IPFS_CAR = 202.0
"""MB/s of ipfs-car's export on another machine of 2 cores; npm's lock file here does not install it."""


def _fill(store: EmbeddedStore, path: Path, size: int) -> str:
    with path.open("wb") as file:
        for _ in range(0, size, MIB):
            file.write(os.urandom(MIB))
    with path.open("rb") as file:
        cid = store.add_file(file)
    store.pin(cid)
    return cid


def rows(setting: Setting) -> list[Outcome]:
    """Return the rows."""
    folder = setting.folder
    store = EmbeddedStore(folder / "store")
    plain, archive = folder / "file", folder / "file.car"
    cid = _fill(store, plain, setting.size)
    fresh = (EmbeddedStore(folder / f"into-{i}") for i in itertools.count())

    def export() -> None:
        with archive.open("wb") as file:
            file.writelines(export_car(store, cid))

    def take() -> None:
        with archive.open("rb") as file:
            import_car(next(fresh), file)

    def clean() -> None:
        (folder / "copy").unlink(missing_ok=True)
        for place in folder.glob("into-*"):
            shutil.rmtree(place)

    export()
    times = interleave(
        {
            "export": export,
            "import": take,
            "cp": lambda: subprocess.run(["cp", str(plain), str(folder / "copy")], check=True),
        },
        rounds=setting.rounds,
        after=clean,
    )
    speed = {name: setting.size / MB / times.median(name) for name in ("export", "import", "cp")}
    return [
        Row(
            name="CAR export",
            unit="MB/s",
            ours=speed["export"],
            peer=_IPFS_CAR,
            limit=speed["cp"],
            bar=2 * _IPFS_CAR,
            ratio=times.speedup("export", "cp"),
            against="limit: cp; peer: ipfs-car, quoted from another run",
        ),
        Row(
            name="CAR import, each block flushed",
            unit="MB/s",
            ours=speed["import"],
            limit=speed["cp"],
            ratio=times.speedup("import", "cp"),
            against="limit: cp, which flushes nothing",
        ),
    ]
