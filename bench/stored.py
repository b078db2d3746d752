"""Histories and their indexes, kept in ``build/bench-history`` from one run to the next: making them takes longer than measuring."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench import chainfile, history, standing
from bench.replay import Replay, replaying
from steelyard.chain.deployment import Deployed, Deployment
from steelyard.chain.rpc import Rpc
from steelyard.domain.types import Address
from steelyard.indexer import schema
from steelyard.indexer.database import Writer, open_database
from steelyard.indexer.run import Indexer

_TASKS = ("image-classification", "text-generation", "automatic-speech-recognition", "object-detection")
_FRAMEWORKS = ("onnx", "pytorch", "sklearn", "safetensors", "jax")
_LICENCES = ("mit", "apache-2.0", "cc-by-4.0", "openrail")


@dataclass(frozen=True)
class Indexed:
    """What it took a process of its own to build an index.

    Attributes:
        entries: how many.
        seconds: by the clock.
        cpu: seconds of processor time of that process, and of the one that it starts to write.
        peak: MiB of resident memory of both at most, shared libraries counted twice.
        own: MiB that were its own at the end.
        size: bytes of the database; 0 where it is no file.
    """

    entries: int
    seconds: float
    cpu: float
    peak: float
    own: float
    size: int


def deployment() -> Deployment:
    """Return the market of every history."""
    contracts = {
        name: Deployed(address=Address(address), tx_hash=bytes(32), arguments=b"")
        for name, address in history.CONTRACTS.items()
    }
    return Deployment(
        chain_id=history.CHAIN_ID, start_block=history.START_BLOCK, min_bond=10**15, contracts=contracts
    )


def chain(root: Path, entries: int) -> Path:
    """Return the folder of a history of so many entries; it is written if it is not there."""
    sources = [Path(str(module.__file__)) for module in (history, standing, chainfile)]
    version = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:8]
    folder = root / "build" / "bench-history" / f"{entries}-{version}"
    if not (folder / "chain.json").exists():
        fresh = folder.with_name(folder.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        history.generate(fresh, entries=entries)
        fresh.rename(folder)
    return folder


def index(root: Path, url: str, where: str | Path) -> Indexed:
    """Build an index in a process of its own.

    Args:
        root: the checkout.
        url: endpoint.
        where: an empty database: a file, or a URL.
    """
    command = [sys.executable, "-m", "bench.stored", url, str(where)]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    size = (
        sum(path.stat().st_size for path in where.parent.glob(where.name + "*"))
        if isinstance(where, Path)
        else 0
    )
    return Indexed(**json.loads(done.stdout), size=size)


def database(root: Path, entries: int) -> Path:
    """Return an index of a history with cards, as the service has it; it is built if it is not there."""
    folder = chain(root, entries)
    tables = hashlib.sha256("".join(schema.statements()).encode()).hexdigest()[:8]
    where = folder / f"index-{tables}.sqlite"
    if not where.exists():
        fresh = folder / "fresh.sqlite"
        for path in folder.glob(fresh.name + "*"):
            path.unlink()
        with replaying(root, folder) as replay:
            index(root, replay.url, fresh)
        with_cards(fresh, folder)
        fresh.rename(where)
    return where


def with_cards(where: Path, folder: Path) -> None:
    """Give an index a card for every version and the positions of every node, as if the store had them all."""
    opened = open_database(where)
    with opened.write() as writer:
        rows = writer.rows(
            "SELECT v.folder, a.name, v.number FROM versions v JOIN assets a ON a.id = v.asset ORDER BY v.pos"
        )
        for place, (digest, name, number) in enumerate(rows):
            _card(writer, digest, name, number, place)
        positions = []
        for line in (folder / "nodes.jsonl").read_text("ascii").splitlines():
            node: Mapping[str, list[tuple[str, int]]] = json.loads(line)
            for at, (payee, weight) in enumerate(node["positions"]):
                positions.append((bytes.fromhex(str(node["node"])), at, bytes.fromhex(payee), weight))
        writer.insert("positions", positions)
    with opened.write() as writer:
        writer.execute("ANALYZE")
    opened.close()


def _card(writer: Writer, digest: bytes, name: str, number: int, place: int) -> None:
    task, framework = _TASKS[place % len(_TASKS)], _FRAMEWORKS[place % len(_FRAMEWORKS)]
    licence, tags = _LICENCES[place % len(_LICENCES)], [f"tag-{place % 37}", f"tag-{place % 11}"]
    metrics = [["accuracy", str(place % 100), None]]
    values = {
        "folder": digest,
        "state": 1,
        "text": f"# {name}\n\nVersion {number} of a model for {task}, number {place} of this history.\n",
        "title": f"{name} {number}",
        "task": task,
        "framework": framework,
        "licence": licence,
        "tags": json.dumps(tags),
        "metrics": json.dumps(metrics),
        "node": None,
        "tried_at": 0,
    }
    writer.insert("cards", [[values[column] for column in schema.COLUMNS["cards"]]])
    fields = [("task", task), ("framework", framework), ("licence", licence), ("metric", "accuracy")]
    fields += [("tag", tag) for tag in sorted(set(tags))]
    writer.insert("card_values", [(digest, field, value) for field, value in fields])


def memory(name: str, process: int | str = "self") -> float:
    """Return a line of a process's ``/proc/<process>/status``, MiB.

    Args:
        name: ``VmHWM``, the peak of resident memory, parts of mapped files included; or ``RssAnon``, what is its own now. Not
            ru_maxrss: across exec it keeps the peak of the process that started this one.
        process: its id.
    """
    status = Path(f"/proc/{process}/status").read_text("ascii")
    return int(status.split(f"{name}:")[1].split()[0]) / 1024


def _ended() -> float:
    """Return the processor seconds of the processes that this one started and that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _watch(ended: threading.Event, peaks: dict[int, float]) -> None:
    """Note the peaks of the processes that this one starts, until told to end."""
    while not ended.wait(0.1):
        for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text("ascii").split():
            with suppress(OSError, IndexError):  # it ended meanwhile
                peaks[int(child)] = memory("VmHWM", int(child))


def catch_up(url: str, where: str) -> dict[str, float]:
    """Build an index here; returns what :class:`Indexed` has but for the size."""
    opened = open_database(where if "://" in where else Path(where))
    ended, peaks = threading.Event(), dict[int, float]()
    watch = threading.Thread(target=_watch, args=(ended, peaks))
    watch.start()
    with Rpc(url, chain_id=history.CHAIN_ID) as rpc:
        indexer = Indexer(opened, [rpc], deployment())
        begun, cpu = time.perf_counter(), time.process_time()
        step = indexer.step()
        indexer.catch_up()
        found = {
            "entries": step.entries,
            "seconds": time.perf_counter() - begun,
            "cpu": time.process_time() - cpu + _ended(),
        }
    opened.close()
    ended.set()
    watch.join()
    return {**found, "peak": memory("VmHWM") + sum(peaks.values()), "own": memory("RssAnon")}


__all__ = [
    "Indexed",
    "Replay",
    "catch_up",
    "chain",
    "database",
    "deployment",
    "index",
    "memory",
    "with_cards",
]

if __name__ == "__main__":
    print(json.dumps(catch_up(*sys.argv[1:])))
