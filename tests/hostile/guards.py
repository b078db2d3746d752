"""Take the refusals out of the readers of files, one at a time, and see whether a test notices.

    python -m tests.hostile.guards [FILE ...] [--parts] [--units PATH ...]

For each `if ...: raise` of the files (all of `formats` if none is named) the condition becomes false, in a process forked from one that
has everything imported: no source is changed. What must notice is the corpus, as far as it is files and these are readers
of such, or else the unit tests of the package, and of those named. With `--parts`, each operand of an `or` in a condition is left out too.
Ends with 1 if something survived, with 2 if something fails where nothing is taken out of the first file of a folder.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib.abc
import importlib.util
import io
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest

import tests.hostile.run  # noqa: F401  # what readers and tests need is loaded before a fork
from steelyard.errors import SteelyardError
from tests.hostile.cases import Case

PACKAGE = Path(__file__).parents[2] / "backend"
UNITS = Path(__file__).parents[1] / "unit"
SECONDS = 300
"""Of processor time, after which a reader without a refusal counts as caught."""


class Mutant(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Has one module imported from a changed tree."""

    def __init__(self, path: Path, tree: ast.Module) -> None:
        """Compile it."""
        self.path = path
        self.name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        self.code = compile(ast.fix_missing_locations(tree), str(path), "exec")

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        """Return the module if it is that one."""
        return (
            importlib.util.spec_from_file_location(fullname, self.path, loader=self)
            if fullname == self.name
            else None
        )

    def exec_module(self, module: ModuleType) -> None:
        """Run the changed code."""
        exec(self.code, module.__dict__)  # noqa: S102


def mutants(path: Path, *, parts: bool) -> Iterator[tuple[int, str, ast.Module]]:
    """Yield line, what was taken out, and the tree without it."""
    text = path.read_text(encoding="utf-8")
    guards = [node for node in ast.walk(ast.parse(text)) if _refuses(node)]
    for place, guard in enumerate(guards):
        assert isinstance(guard, ast.If)
        either = (
            guard.test.values
            if isinstance(guard.test, ast.BoolOp) and isinstance(guard.test.op, ast.Or)
            else []
        )
        for part in range(-1, len(either) if parts else 0):
            tree = ast.parse(text)
            node = [node for node in ast.walk(tree) if _refuses(node)][place]
            assert isinstance(node, ast.If)
            if part < 0:
                node.test = ast.Constant(False)
            else:
                assert isinstance(node.test, ast.BoolOp)
                node.test.values[part] = ast.Constant(False)
            yield guard.lineno, ast.unparse(guard.test if part < 0 else either[part]), tree


def _refuses(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and any(isinstance(line, ast.Raise) for line in node.body)


def noticed(mutant: Mutant, units: Sequence[Path]) -> str:
    """Return what notices a mutant, or nothing; for a process of its own."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    signal.alarm(2 * SECONDS)  # what waits uses no processor
    sys.meta_path.insert(0, mutant)
    for name in [name for name in sys.modules if name.startswith(("steelyard.", "tests."))]:
        if name != "steelyard.errors":  # what is raised is caught here
            del sys.modules[name]
    fresh = importlib.import_module("tests.hostile.run")
    package, stem = mutant.name.split(".")[1:]
    stem = stem.removesuffix("s")
    cases = [case for case in fresh.cases() if case.kind in ("file", "json", "yaml") and package == "formats"]
    own = [case for case in cases if case.name.startswith(stem)]
    return (  # what is most likely to notice first
        _other(fresh, own)
        or _failed(*(UNITS / package).glob(f"test_{stem}*.py"))
        or _other(fresh, [case for case in cases if case not in own])
        or _failed(UNITS / package, *units)
    )


def _other(fresh: ModuleType, cases: Sequence[Case]) -> str:
    """Return the first case that is not refused as it must be."""
    for case in cases:
        with tempfile.TemporaryDirectory() as place:
            read, mro, message = fresh._prepared(case, Path(place)), (), ""
            try:
                read()
            except SteelyardError as exc:
                mro, message = type(exc).__mro__, str(exc)
            except Exception as exc:  # noqa: BLE001  # whatever it is, the case failed
                message = repr(exc)
        if case.error not in mro or case.words not in message:
            return f"corpus: {case.name}"
    return ""


def _failed(*units: Path) -> str:
    """Return the first test that fails."""
    if not units:
        return ""
    options = ["-x", "-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        code = pytest.main([*options, *map(str, units)])
    failed = [line for line in out.getvalue().splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert code == (1 if failed else 0), out.getvalue()[-2000:]
    return failed[0][:120] if failed else ""


def forked(mutant: Mutant, units: Sequence[Path]) -> str:
    """Return what notices a mutant, or nothing."""
    sys.stdout.flush()
    out, into = os.pipe()
    child = os.fork()
    if not child:
        os.close(out)
        try:
            os.write(into, noticed(mutant, units).encode())
        except BaseException as exc:  # noqa: BLE001  # a mutant may raise anything
            os.write(into, repr(exc)[:200].encode() or b"?")
        os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as file:
        told = file.read().decode()
    status = os.waitpid(child, 0)[1]
    return told or ("ended by a signal" if status else "")


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "files", nargs="*", type=Path, default=sorted((PACKAGE / "steelyard" / "formats").glob("*.py"))
    )
    parser.add_argument("--parts", action="store_true")
    parser.add_argument("--units", nargs="+", type=Path, default=[])
    given = parser.parse_args()
    tried = survived = 0
    sound: set[Path] = set()
    for file in given.files:
        if file.resolve().parent not in sound:
            sound.add(file.resolve().parent)
            same = Mutant(file.resolve(), ast.parse(file.read_bytes()))
            if told := forked(same, given.units):
                print(f"{file.name} as it is | {told}")
                return 2
        for line, what, tree in mutants(file.resolve(), parts=given.parts):
            told = forked(Mutant(file.resolve(), tree), given.units)
            tried, survived = tried + 1, survived + (not told)
            print(f"{file.name}:{line} {what[:100]} | {told or 'SURVIVED'}", flush=True)
    print(f"{tried} tried, {survived} survived")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
