"""Try mutants, several at a time, and write down what became of them."""

from __future__ import annotations

import fcntl
import hashlib
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from . import journal, killers
from .brownie_suite import Brownie, compile_artifacts
from .compiler import Compiler, DoesNotCompile, importers
from .journal import EQUIVALENT, INVALID, KILLED, SURVIVED, TIMEOUT, Verdict
from .mutant import Mutant
from .operators import mutants
from .syntax import Node, next_members
from .targets import PRODUCTION, TARGETS, target, unit_path
from .workcopy import Copy

Code = dict[str, tuple[str, str]]


class BaselineFails(Exception):
    """A test fails without any mutant, so nothing can be learned from its failing with one."""


class Busy(Exception):
    """Another campaign is using the copies."""


@dataclass(frozen=True)
class Plan:
    """All mutants of a tree, and what must be known to try them."""

    mutants: tuple[Mutant, ...]
    sources: dict[str, bytes]
    # files of deployed contracts that contain a target, by the target's file
    affected: dict[str, tuple[str, ...]]

    def digest(self, file: str) -> str:
        """Return the SHA-256 of a target's source."""
        return hashlib.sha256(self.sources[file]).hexdigest()


def plan(root: Path, compiler: Compiler) -> Plan:
    """List the mutants of all targets."""
    trees: dict[str, Node] = compiler.trees(list(PRODUCTION))
    following = next_members(trees)
    sources = {t.file: (root / t.file).read_bytes() for t in TARGETS}
    found = [
        mutant
        for t in TARGETS
        for mutant in mutants(t.file, sources[t.file], trees[t.file], following=following)
    ]
    affected = {t.file: tuple(sorted(importers(trees, t.file) & PRODUCTION.keys())) for t in TARGETS}
    return Plan(tuple(found), sources, affected)


def choose(
    everything: Iterable[Mutant], *, only: Sequence[str] = (), sample: int | None = None, seed: int = 0
) -> list[Mutant]:
    """Choose mutants and put them into an order that depends on the seed alone: whatever part of it is done is a fair sample.

    Args:
        everything: All mutants.
        only: Parts of paths; a mutant's file must contain one of them. All files when empty.
        sample: At most so many of each file.
        seed: Of the order.
    """
    by_file: dict[str, list[Mutant]] = {}
    for mutant in everything:
        if not only or any(part in mutant.file for part in only):
            by_file.setdefault(mutant.file, []).append(mutant)
    placed = []
    for file, group in sorted(by_file.items()):
        random.Random(f"{seed} {file}").shuffle(group)
        placed += [((i + 0.5) / len(group), file, m) for i, m in enumerate(group[:sample])]
    return [mutant for _, _, mutant in sorted(placed, key=lambda p: p[:2])]


class Worker:
    """One copy with its compiler."""

    def __init__(
        self, copy: Copy, compiler: Compiler, scheme: Plan, known: Sequence[Verdict], /, *, quick: bool
    ) -> None:
        """Take them, and the verdicts known, which may become more; quick workers ask only the tests named for a target."""
        self._copy, self._compiler, self._plan, self._quick = copy, compiler, scheme, quick
        self._known = known
        self._brownie = Brownie(copy.root)
        self._original: dict[str, Code] = {}

    def stop(self) -> None:
        """End what it has started."""
        self._brownie.stop()

    def check(self) -> None:
        """Run all tests once on unmutated code that went the way of a mutant's.

        Raises:
            BaselineFails: One of them fails.
        """
        names = {unit for t in TARGETS for unit in t.units}
        self._install(self._units(names), {})
        self._install(PRODUCTION, {})
        for run in (killers.forge(self._copy.root), self._brownie.run([])):
            if run.failed:
                raise BaselineFails(f"{run.failed} fails without a mutant")
        self._copy.restore()

    def judge(self, mutant: Mutant) -> Verdict:
        """Try one mutant.

        Raises:
            RunnerBroken: A runner failed for another reason than a test.
        """
        start = time.monotonic()
        try:
            result, killer = self._fate(mutant)
        finally:
            self._copy.restore()
        return Verdict(
            id=mutant.id,
            file=mutant.file,
            source=self._plan.digest(mutant.file),
            line=mutant.line,
            text=mutant.text,
            operator=mutant.change.operator,
            old=mutant.old,
            new=mutant.change.new,
            result=result,
            killer=killer,
            seconds=round(time.monotonic() - start, 1),
        )

    def _fate(self, mutant: Mutant) -> tuple[str, str]:
        aim, root = target(mutant.file), self._copy.root
        changed = {mutant.file: mutant.apply(self._plan.sources[mutant.file])}
        unit_pattern = ",".join(unit_path(unit) for unit in aim.units)
        try:
            for unit in aim.units:
                self._install(self._units([unit]), changed)
                run = killers.forge(root, match=unit_path(unit))
                if run.failed:
                    return _killed(run)
            contracts = {path: PRODUCTION[path] for path in self._plan.affected[mutant.file]}
            code = self._install(contracts, changed)
        except DoesNotCompile as exc:
            return INVALID, str(exc).splitlines()[0]
        if code == self._unmutated(mutant.file, contracts):
            return EQUIVALENT, ""
        # What a guard is for, one file of tests is about.
        likely = f"tests/forge/{'*/Reentrancy.t.sol' if mutant.change.operator == 'modifier' else aim.forge}"
        done = f"{{{likely},{unit_pattern}}}" if unit_pattern else likely
        hints = journal.hints(self._known, mutant.file, mutant.line)
        stages: tuple[Callable[[], killers.Run], ...] = (
            lambda: killers.forge(root, match=likely),
            lambda: killers.Run() if self._quick else killers.forge(root, skip=done),
            lambda: self._brownie.run(aim.brownie, alone=self._quick, hints=hints),
        )
        for stage in stages:
            run = stage()
            if run.failed:
                return _killed(run)
        return SURVIVED, "quick" if self._quick else ""

    def _install(self, contracts: dict[str, str], changed: dict[str, str]) -> Code:
        code = self._compiler.bytecode(contracts, changed=changed)
        self._copy.install_forge(contracts, code)
        deployed = {name: both for name, both in code.items() if name in PRODUCTION.values()}
        self._copy.install_brownie(deployed)
        return code

    def _unmutated(self, file: str, contracts: dict[str, str]) -> Code:
        if file not in self._original:
            self._original[file] = self._compiler.bytecode(contracts, changed={})
        return self._original[file]

    @staticmethod
    def _units(names: Iterable[str]) -> dict[str, str]:
        return {unit_path(name): f"{Path(name).name}Test" for name in names}


def _killed(run: killers.Run) -> tuple[str, str]:
    return (TIMEOUT if run.timed_out else KILLED), run.failed


def _next(todo: queue.SimpleQueue[str]) -> str:
    """Take a name out of a queue; empty when there is none."""
    try:
        return todo.get_nowait()
    except queue.Empty:
        return ""


class Campaign:
    """A pool of workers over one list."""

    def __init__(self, checkout: Path, folder: Path, /, *, node: str) -> None:
        """Set it up.

        Args:
            checkout: The tree to take copies of.
            folder: Where copies and journal are.
            node: The command of Node.
        """
        self._checkout, self._folder, self._node = checkout, folder, node
        self.journal = folder / "journal.jsonl"
        self._lock = threading.Lock()

    def run(self, chosen: Sequence[str], *, jobs: int, quick: bool = False, checked: bool = True) -> None:
        """Try the mutants; returns when all are done.

        Args:
            chosen: Their names, in this order; one that the copies do not have (any more) is passed over.
            jobs: Copies, and mutants tried at a time.
            quick: Ask only the tests named for a target; who survives them is to be tried again.
            checked: Run all tests without a mutant first.

        Raises:
            RunnerBroken: A runner failed for another reason than a test.
            BaselineFails: The tests fail without a mutant.
            Busy: Another campaign is using the copies.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                raise Busy(f"another campaign is using the copies in {self._folder}") from exc
            self._run(chosen, jobs=jobs, quick=quick, checked=checked)

    def _run(self, chosen: Sequence[str], *, jobs: int, quick: bool, checked: bool) -> None:
        todo: queue.SimpleQueue[str] = queue.SimpleQueue()
        for name in chosen:
            todo.put(name)
        total, stop = len(chosen), threading.Event()
        verdicts = list(journal.read(self.journal))
        first = Copy.make(self._checkout, self._folder / "copy1")
        killers.build(first.root)
        compile_artifacts(first.root)
        copies = [first, *(first.clone(self._folder / f"copy{n}") for n in range(2, jobs + 1))]

        def work(copy: Copy) -> None:
            with ExitStack() as stack:
                compiler = stack.enter_context(self.compiler(copy.root))
                scheme = plan(copy.root, compiler)
                worker = Worker(copy, compiler, scheme, verdicts, quick=quick)
                stack.callback(worker.stop)
                if checked and copy is first:
                    worker.check()
                known = {mutant.id: mutant for mutant in scheme.mutants}
                while not stop.is_set() and (name := _next(todo)):
                    if mutant := known.get(name):
                        verdict = worker.judge(mutant)
                        with self._lock:
                            journal.append(self.journal, verdict)
                            verdicts.append(verdict)
                            self._say(verdict, total - todo.qsize(), total)

        with ThreadPoolExecutor(jobs) as pool:
            running = [pool.submit(work, copy) for copy in copies]
            try:
                for future in as_completed(running):
                    future.result()
            finally:
                # After a fault or an interruption: when the mutants under way are done.
                stop.set()

    def compiler(self, root: Path) -> Compiler:
        """Start a compiler over a tree."""
        return Compiler(root, node=self._node, modules=self._checkout / "node_modules")

    @staticmethod
    def _say(verdict: Verdict, done: int, total: int) -> None:
        what = f"{verdict.old!r} -> {verdict.new!r}" if verdict.result == SURVIVED else verdict.killer
        place = f"{verdict.file.removeprefix('contracts/')}:{verdict.line}"
        print(
            f"{done}/{total} {verdict.result:10} {verdict.id} {place} {verdict.operator} "
            f"{verdict.seconds:.0f} s  {what}",
            flush=True,
        )
