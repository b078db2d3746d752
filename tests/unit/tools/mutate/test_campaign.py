"""Choice, journal, copy and figures: what needs no compiler."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.mutate import journal, report
from tools.mutate.brownie_suite import compile_artifacts
from tools.mutate.campaign import Plan, choose
from tools.mutate.journal import EQUIVALENT, INVALID, KILLED, SURVIVED, TIMEOUT, Verdict
from tools.mutate.killers import RunnerBroken
from tools.mutate.mutant import Change, Mutant
from tools.mutate.nursery import Order
from tools.mutate.targets import PRODUCTION, TARGETS, target
from tools.mutate.workcopy import Copy

ROOT = Path(__file__).parents[4]
TREASURY, IDS = "contracts/Treasury.sol", "contracts/libraries/Ids.sol"
SOURCES = {TREASURY: b"treasury", IDS: b"ids"}


def mutant(name: str, file: str = TREASURY) -> Mutant:
    return Mutant(name, file, 1, Change("check", 0, 1, "false"), "x", "if (x) revert();")


def verdict(name: str, result: str, file: str = TREASURY, source: bytes | None = None) -> Verdict:
    digest = Plan((), {file: source or SOURCES[file]}, {}).digest(file)
    return Verdict(name, file, digest, 1, "if (x) revert();", "check", "x", "false", result, "", 1.0)


MANY = [mutant(f"t{i}") for i in range(40)] + [mutant(f"i{i}", IDS) for i in range(10)]


def test_the_order_depends_on_the_seed_alone() -> None:
    names = [m.id for m in choose(MANY, seed=1)]
    assert names == [m.id for m in choose(list(reversed(MANY)), seed=1)] or sorted(names) == sorted(
        m.id for m in MANY
    )
    assert names == [m.id for m in choose(MANY, seed=1)]
    assert names != [m.id for m in choose(MANY, seed=2)]


def test_any_beginning_of_the_order_takes_its_share_of_every_file() -> None:
    half = choose(MANY, seed=3)[:25]
    assert sum(m.file == IDS for m in half) == 5


def test_a_sample_is_of_each_file_and_the_beginning_of_a_greater_one() -> None:
    small, great = ({m.id for m in choose(MANY, sample=n, seed=4)} for n in (5, 8))
    assert len(small) == 10
    assert small < great


def test_only_takes_parts_of_paths() -> None:
    assert {m.file for m in choose(MANY, only=["Ids"])} == {IDS}


def test_the_newest_verdict_counts_and_a_line_cut_off_does_not(tmp_path: Path) -> None:
    path = tmp_path / "new" / "journal.jsonl"
    for result in (SURVIVED, KILLED):
        journal.append(path, verdict("a", result))
    with path.open("a") as file:
        file.write(json.dumps({"id": "b"})[:-2])
    assert {name: v.result for name, v in journal.latest(path).items()} == {"a": KILLED}


def test_the_tests_asked_first_killed_what_was_near() -> None:
    def killed(line: int, killer: str, file: str = TREASURY) -> Verdict:
        return replace(verdict("a", KILLED, file), line=line, killer=killer)

    known = [
        killed(9, "brownie test_buy.py::test_far"),
        killed(5, "brownie test_buy.py::TestBuy::test_near[one value]"),
        killed(4, "forge test_near"),
        killed(4, "brownie test_buy.py::test_other_file", IDS),
        killed(6, "brownie test_buy.py::TestBuy::test_near[another"),
        replace(verdict("b", SURVIVED), line=4, killer="quick"),
    ]
    assert journal.hints(known, TREASURY, 4) == ["test_buy.py::TestBuy::test_near", "test_buy.py::test_far"]


def test_tests_named_come_first_and_the_others_keep_their_order() -> None:
    names = ["test_a.py::test_x", "test_a.py::T::test_y[1]", "test_b.py::test_x[a/b]", "test_b.py::test_z"]
    items = [SimpleNamespace(nodeid=f"tests/contracts/{name}") for name in names]
    Order(["test_b.py::test_x", "test_a.py::T::test_y"]).pytest_collection_modifyitems(items)
    assert [item.nodeid.removeprefix("tests/contracts/") for item in items] == [
        names[2],
        names[1],
        names[0],
        names[3],
    ]


def test_without_a_journal_there_are_no_verdicts(tmp_path: Path) -> None:
    assert journal.latest(tmp_path / "none") == {}


def test_a_verdict_is_void_when_its_source_changed_or_its_mutant_is_gone() -> None:
    plan = Plan((mutant("a"), mutant("b")), SOURCES, {})
    known = [verdict("a", KILLED), verdict("b", KILLED, source=b"older"), verdict("c", KILLED)]
    assert report.current(plan, {v.id: v for v in known}).keys() == {"a"}


def test_invalid_and_equivalent_mutants_are_not_in_the_score() -> None:
    results = [INVALID, EQUIVALENT, KILLED, KILLED, TIMEOUT, SURVIVED]
    names = "abcdef"
    plan = Plan(tuple(mutant(n) for n in names) + (mutant("g"),), SOURCES, {})
    table = report.table(plan, {n: verdict(n, r) for n, r in zip(names, results, strict=True)})
    assert "| `Treasury.sol` | 7 | 6 | 1 | 1 | 2 | 1 | 1 | 75.0 % |" in table.splitlines()
    assert "| **all** | 7 | 6 | 1 | 1 | 2 | 1 | 1 | 75.0 % |" in table.splitlines()
    assert "| `libraries/Ids.sol` | 0 | 0 | 0 | 0 | 0 | 0 | 0 | - |" in table.splitlines()


def test_survivors_are_quoted_with_line_and_mutant() -> None:
    text = report.survivors({"a": verdict("a", SURVIVED), "b": verdict("b", KILLED)})
    assert text == "- `a` Treasury.sol:1 check\n  `if (x) revert();`\n  `x` -> `false`\n"


@pytest.mark.parametrize("path", [t.file for t in TARGETS])
def test_targets_and_the_tests_named_for_them_exist(path: str) -> None:
    aim = target(path)
    assert (ROOT / path).is_file()
    assert all((ROOT / f"tests/forge/{unit}.t.sol").is_file() for unit in aim.units)
    assert aim.brownie and all((ROOT / f"tests/contracts/test_{name}.py").is_file() for name in aim.brownie)


def test_every_contract_and_library_is_a_target() -> None:
    others = ("contracts/interfaces/", "contracts/test/", "contracts/types/")
    found = {f.relative_to(ROOT).as_posix() for f in (ROOT / "contracts").rglob("*.sol")}
    assert {f for f in found if not f.startswith(others)} == {t.file for t in TARGETS}
    assert PRODUCTION.keys() <= found


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    checkout = tmp_path / "checkout"
    for name, text in {
        "contracts/A.sol": "contract A {}",
        "foundry.toml": "",
        "build/solc/solc-v0.8.37": "#!/bin/sh\n",
        "build/brownie/contracts/A.json": json.dumps(
            {"bytecode": "60", "deployedBytecode": "61", "sha1": "x"}
        ),
    }.items():
        file = checkout / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    for name in (
        "contracts",
        "tests",
        "scripts",
        "tools",
        "backend",
        "build/bin",
        ".venv-brownie",
        "node_modules",
    ):
        (checkout / name).mkdir(exist_ok=True)
    copy = Copy.make(checkout, tmp_path / "copy1")
    artifact = copy.root / "build/forge/out/A.sol/A.json"
    artifact.parent.mkdir(parents=True)
    artifact.write_text(
        json.dumps({"abi": [], "bytecode": {"object": "0x60"}, "deployedBytecode": {"object": "0x61"}})
    )
    return copy


def test_a_mutant_goes_into_the_artifacts_and_out_again(copy: Copy) -> None:
    forge, brownie = copy.root / "build/forge/out/A.sol/A.json", copy.root / "build/brownie/contracts/A.json"
    before = forge.read_bytes(), brownie.read_bytes()
    copy.install_forge({"contracts/A.sol": "A"}, {"A": ("70", "71")})
    copy.install_brownie({"A": ("70", "71")})
    assert json.loads(forge.read_text())["bytecode"]["object"] == "0x70"
    assert json.loads(forge.read_text())["deployedBytecode"]["object"] == "0x71"
    assert json.loads(brownie.read_text()) == {"bytecode": "70", "deployedBytecode": "71", "sha1": "x"}
    copy.restore()
    assert (forge.read_bytes(), brownie.read_bytes()) == before


def test_no_source_is_ever_changed(copy: Copy) -> None:
    copy.install_forge({"contracts/A.sol": "A"}, {"A": ("70", "71")})
    assert (copy.root / "contracts/A.sol").read_text() == "contract A {}"
    assert (copy.root.parent / "checkout/contracts/A.sol").read_text() == "contract A {}"


def test_the_next_mutant_starts_without_the_failures_of_the_last(copy: Copy) -> None:
    failure = copy.root / "build/forge/failures/found"
    failure.parent.mkdir()
    failure.write_text("an input")
    copy.restore()
    assert not failure.exists()


def test_a_clone_has_what_was_built_and_its_own_artifacts(copy: Copy, tmp_path: Path) -> None:
    clone = copy.clone(tmp_path / "copy2")
    clone.install_forge({"contracts/A.sol": "A"}, {"A": ("70", "71")})
    name = "build/forge/out/A.sol/A.json"
    assert json.loads((clone.root / name).read_text())["bytecode"]["object"] == "0x70"
    assert json.loads((copy.root / name).read_text())["bytecode"]["object"] == "0x60"


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    """A project of one contract that brownie has not compiled yet."""
    for name in ("contracts", "tests/contracts", "scripts"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "contracts" / "A.sol").write_text(
        "// SPDX-License-Identifier: MIT\npragma solidity 0.8.37;\ncontract A {}\n"
    )
    (tmp_path / "tools").mkdir()
    for name in ("tools/brownie.py", "brownie-config.yaml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name in (".venv-brownie", "node_modules", "build/solc"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def test_brownie_has_artifacts_before_the_first_mutant(fresh: Path) -> None:
    artifact = fresh / "build" / "brownie" / "contracts" / "A.json"
    assert not artifact.exists()
    compile_artifacts(fresh)
    assert json.loads(artifact.read_text())["bytecode"]


def test_a_tree_that_brownie_cannot_compile_stops_the_campaign(fresh: Path) -> None:
    (fresh / "contracts" / "A.sol").write_text("pragma solidity 0.8.37;\ncontract A { uint8 x = false; }\n")
    with pytest.raises(RunnerBroken, match="CompilerError"):
        compile_artifacts(fresh)
