"""Run the corpus in a process of its own, under guard, and print what came of each case as JSON.

    python -m tests.hostile.run

While a case is read an audit hook raises at anything that would import, compile, run, connect or write, and tracemalloc
keeps the most memory that it took.
"""

from __future__ import annotations

import importlib
import json
import marshal
import os
import pickle
import resource
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from steelyard.domain import card, cardcheck, licences, manifest, paths
from steelyard.domain.passive import check_passive
from steelyard.errors import SteelyardError
from steelyard.formats import coats  # noqa: F401  # all readers are there before the guard is up
from steelyard.service import source
from steelyard.service.declare import declare
from tests.hostile import models, texts
from tests.hostile.cases import Case

_FORBIDDEN = (
    "exec", "compile", "import", "pickle.", "marshal.", "code.__new__", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork",
    "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "subprocess.", "socket.",
    "ctypes.", "shutil.", "tempfile.", "webbrowser.", "urllib.", "ftplib.", "http.", "sqlite3.", "function.__new__",
)  # fmt: skip
_guarded = False
seen: list[str] = []


def _hook(event: str, args: tuple[object, ...]) -> None:
    if not _guarded:
        return
    writes = event == "open" and (
        (isinstance(args[1], str) and any(sign in args[1] for sign in "wxa+"))
        or (isinstance(args[2], int) and args[2] & 3 != 0)
    )
    if writes or event.startswith(_FORBIDDEN):
        seen.append(f"{event} {args!r}"[:200])
        raise PermissionError(f"guard: {event}")


def _prepared(case: Case, folder: Path) -> Callable[[], object]:
    """Return the reading of a case, with all that it needs made."""
    data = case.data()
    if case.kind in ("file", "json", "yaml", "small"):
        assert isinstance(data, bytes)
        name = {"json": "config.json", "yaml": "config.yaml"}.get(case.kind, "model.bin")
        (folder / name).write_bytes(data)
        return lambda: declare(source.find(folder), allow_code=False)
    if case.kind == "folder":
        assert callable(data)
        data(folder)
        return lambda: declare(source.find(folder), allow_code=False)
    if case.kind == "paths":
        assert isinstance(data, list)
        return lambda: paths.check_tree(data)
    if case.kind == "card":
        assert isinstance(data, str)
        return lambda: check_passive(data)
    assert isinstance(data, bytes)
    if case.kind == "sealed":
        files = [
            manifest.SourceFile(path=p, size=9, format="onnx", role="weights", sha256=bytes(32))
            for p in ("a", "b")
        ]
        public, _ = manifest.build(files, key_salt=bytes(32))
        shift = len(data) - public.sealed_size
        whole = manifest.Manifest(
            key_salt=bytes(32),
            size=public.size + shift,
            sealed_size=len(data),
            files=tuple(
                manifest.FileEntry(
                    path=f.path, offset=f.offset + shift, size=f.size, format=f.format, role=f.role
                )
                for f in public.files
            ),
        )
        return lambda: manifest.parse_sealed(data, manifest=whole)
    return (lambda: manifest.parse(data)) if case.kind == "manifest" else (lambda: card.parse(data))


def run(case: Case) -> dict[str, object]:
    """Run one case; returns what came of it."""
    global _guarded
    error, message = "", ""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        act = _prepared(case, folder)
        before = {item.name for item in folder.iterdir()}
        tracemalloc.reset_peak()
        start = tracemalloc.get_traced_memory()[0]
        _guarded = True
        try:
            act()
        except SteelyardError as exc:
            error, message = ",".join(kind.__name__ for kind in type(exc).__mro__), str(exc)
        except Exception as exc:  # noqa: BLE001  # whatever it is, the case failed
            error, message = type(exc).__name__, repr(exc)
        finally:
            _guarded = False
        peak = tracemalloc.get_traced_memory()[1] - start
        left = {item.name for item in folder.iterdir()} - before
    return {"name": case.name, "error": error, "message": message, "peak": peak, "left": sorted(left)}


def guard_works() -> bool:
    """Try what the guard forbids; whether all of it was stopped."""
    global _guarded
    tries: list[Callable[[], object]] = [
        lambda: pickle.loads(b"cposix\ngetpid\n)R."),
        lambda: exec("1"),  # noqa: S102
        lambda: open("/nowhere/file", "w"),  # noqa: SIM115
        lambda: os.system("true"),
        lambda: importlib.import_module("this"),
        lambda: marshal.loads(marshal.dumps(1)),
    ]
    stopped = 0
    for act in tries:
        _guarded = True
        try:
            act()
        except PermissionError:
            stopped += 1
        finally:
            _guarded = False
    seen.clear()
    return stopped == len(tries)


def cases() -> list[Case]:
    """Return the corpus."""
    return [*models.cases(), *texts.cases()]


def main() -> None:
    """Run all of it."""
    cardcheck.check(b"---\nlicense: mit\n---\n")  # loads what is loaded once
    assert licences.is_known("mit")
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "a").write_bytes(b"x")
        declare(source.find(Path(place)), allow_code=False)
    corpus = cases()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    sys.addaudithook(_hook)
    works = guard_works()
    results = [run(case) for case in corpus]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    json.dump({"results": results, "rss_kib": most, "seen": seen, "guard": works}, sys.stdout)


if __name__ == "__main__":
    main()
