"""The operators on small contracts, compiled by the real compiler, give exactly these mutants."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.mutate.__main__ import node_command
from tools.mutate.compiler import Compiler, DoesNotCompile, importers
from tools.mutate.mutant import Mutant
from tools.mutate.operators import mutants
from tools.mutate.syntax import next_members

ROOT = Path(__file__).parents[4]
HEAD = "pragma solidity 0.8.37;\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutate")
    shutil.copyfile(ROOT / "foundry.toml", folder / "foundry.toml")
    return folder


@pytest.fixture(scope="module")
def compiler(folder: Path) -> Iterator[Compiler]:
    with Compiler(folder, node=node_command(), modules=ROOT / "node_modules") as compiler:
        yield compiler


class Bench:
    """Mutates the body of a function."""

    def __init__(self, folder: Path, compiler: Compiler) -> None:
        self.folder, self.compiler = folder, compiler

    def mutants(self, text: str) -> list[Mutant]:
        (self.folder / "A.sol").write_text(text, encoding="utf-8")
        trees = self.compiler.trees(["A.sol"])
        return mutants("A.sol", text.encode(), trees["A.sol"], following=next_members(trees))

    def of(
        self, statement: str, *, before: str = "", parameters: str = "uint256 a, uint256 b"
    ) -> set[tuple[str, str, str]]:
        text = (
            f"{HEAD}contract A {{ {before} uint256 v; function f({parameters}) external {{ {statement} }} }}"
        )
        return {(m.change.operator, m.old, m.change.new) for m in self.mutants(text)}


@pytest.fixture
def bench(folder: Path, compiler: Compiler) -> Bench:
    return Bench(folder, compiler)


def test_a_check_is_deleted_or_turned_round_and_its_relation_moved(bench: Bench) -> None:
    assert bench.of("if (a < b) revert E();", before="error E();") == {
        ("check", "a < b", "false"),
        ("check", "a < b", "!(a < b)"),
        ("relation", "a < b", "(a <= b)"),
        ("relation", "a < b", "(a != b)"),
    }


def test_a_check_in_braces_is_not_deleted_twice(bench: Bench) -> None:
    found = bench.of("if (c) { revert E(); }", before="error E();", parameters="bool c")
    assert found == {("check", "c", "false"), ("check", "c", "!(c)")}


def test_a_branch_is_always_or_never_taken_and_its_statement_left_out(bench: Bench) -> None:
    assert bench.of("if (c) v = d;", parameters="bool c, uint256 d") == {
        ("condition", "c", "true"),
        ("condition", "c", "false"),
        ("statement", "v = d;", "{}"),
    }


def test_require_is_a_statement_that_is_left_out(bench: Bench) -> None:
    assert bench.of("require(c);", parameters="bool c") == {("statement", "require(c);", "{}")}


def test_zero_has_no_unsigned_number_below_it(bench: Bench) -> None:
    found = bench.of("v = a == 0 ? a : b;")
    assert ("relation", "a == 0", "(a <= 0)") not in found
    assert {("relation", "a == 0", "(a >= 0)"), ("relation", "a == 0", "(a != 0)")} <= found


def test_the_order_of_addresses_means_nothing(bench: Bench) -> None:
    found = bench.of("if (a == b) revert();", parameters="address a, address b")
    assert {new for operator, _, new in found if operator == "relation"} == {"(a != b)"}


def test_either_operand_of_a_conjunction_alone(bench: Bench) -> None:
    found = bench.of("if (c && d) v = 1;", parameters="bool c, bool d")
    assert {new for operator, _, new in found if operator == "logic"} == {"(c || d)", "c", "d"}


def test_operands_keep_together(bench: Bench) -> None:
    assert ("arithmetic", "(a + b) * a", "((a + b) / a)") in bench.of("v = (a + b) * a;")
    assert ("arithmetic", "a * b + a", "((a * b) - a)") in bench.of("v = a * b + a;")


def test_compound_assignment(bench: Bench) -> None:
    assert bench.of("v += a;") == {
        ("assignment", "v += a", "v -= a"),
        ("assignment", "v += a", "v = a"),
        ("statement", "v += a;", "{}"),
    }


def test_numbers(bench: Bench) -> None:
    assert {n for o, _, n in bench.of("v = 7;") if o == "literal"} == {"8", "6", "0"}
    assert {n for o, _, n in bench.of("v = 0;") if o == "literal"} == {"1"}
    assert {n for o, _, n in bench.of("v = 2 days;") if o == "literal"} == {"3 days", "1 days", "0 days"}
    assert {n for o, _, n in bench.of("v = 0x00ff;") if o == "literal"} == {"0x0100", "0x00fe", "0x0000"}
    assert {n for o, _, n in bench.of("v = 0xff;") if o == "literal"} == {"0xfe", "0x00"}


def test_the_length_of_an_array_type_is_no_number_of_the_program(bench: Bench) -> None:
    assert not {n for o, _, n in bench.of("uint256[3] memory m; v = m.length;") if o == "literal"}


def test_texts_and_booleans(bench: Bench) -> None:
    assert ("literal", '"x"', '"x!"') in bench.of('t = keccak256("x");', before="bytes32 t;")
    assert ("literal", "true", "false") in bench.of("t = true;", before="bool t;")


def test_a_member_of_an_enum_becomes_the_next(bench: Bench) -> None:
    before = "enum S { A, B, C } S s;"
    assert ("enum", "S.B", "S.C") in bench.of("s = S.B;", before=before)
    assert ("enum", "S.C", "S.A") in bench.of("s = S.C;", before=before)


def test_arguments_of_one_type_change_places(bench: Bench) -> None:
    before = "function g(uint256, uint256, bool) private {}"
    assert ("arguments", "a, b", "b, a") in bench.of("g(a, b, true);", before=before)
    assert not {o for o, _, _ in bench.of("g(a, a, c);", before=before, parameters="uint256 a, bool c")} - {
        "statement",
        "arguments",
    }


def test_factors_of_mulmod_commute(bench: Bench) -> None:
    found = bench.of("v = mulmod(a, b, c);", parameters="uint256 a, uint256 b, uint256 c")
    assert {old for operator, old, _ in found if operator == "arguments"} == {"b, c"}


def test_a_modifier_is_taken_off_but_no_base_constructor(bench: Bench) -> None:
    text = f"{HEAD}contract B {{ constructor(uint256) {{}} }}\ncontract A is B {{ modifier m() {{ _; }}\n"
    text += "constructor() B(0) {} function f() external m {} }"
    found = [(m.old, m.change.new) for m in bench.mutants(text) if m.change.operator == "modifier"]
    assert found == [("m", "")]


def test_results_become_zero(bench: Bench) -> None:
    before = "function g(address x, bytes32 y) private view returns (address, bytes32, bool) { return (x, y, v > 0); }"
    found = {(old, new) for o, old, new in bench.of("v = a;", before=before) if o == "result"}
    assert found == {("x", "address(0)"), ("y", "bytes32(0)"), ("v > 0", "true"), ("v > 0", "false")} - {
        ("v > 0", "false")  # said by the relation already
    }


def test_a_loop_is_not_left_without_its_step(bench: Bench) -> None:
    found = bench.of("for (uint256 i; i < 3; ++i) v = i;")
    assert not {old for _, old, _ in found if "++i" in old}
    assert ("relation", "i < 3", "(i != 3)") not in found


def test_assembly(bench: Bench) -> None:
    assert bench.of('assembly ("memory-safe") { mstore(0x00, add(a, b)) }') == {
        ("opcode", "add", "sub"),
        ("literal", "0x00", "0x1"),
        ("arguments", "0x00, add(a, b)", "add(a, b), 0x00"),
        ("assembly", "mstore(0x00, add(a, b))", "{}"),
    }


def test_places_count_bytes_not_characters(bench: Bench) -> None:
    text = f"{HEAD}// λ — two and three bytes\ncontract A {{ uint256 v; /* ü */ function f(uint256 a) external {{ v = a; }} }}"
    (found,) = bench.mutants(text)
    assert found.old == "v = a;"
    assert found.line == 3
    assert found.apply(text.encode()) == text.replace("v = a;", "{}")


def test_a_name_stays_when_other_lines_change(bench: Bench) -> None:
    text = f"{HEAD}contract A {{ uint256 v; function f(uint256 a) external {{ v = a; }} }}"
    (before,) = bench.mutants(text)
    (after,) = bench.mutants(text.replace("uint256 v;", "\n\nuint256 v;\n"))
    assert (before.id, before.line + 3) == (after.id, after.line)


def test_equal_changes_of_one_function_have_two_names(bench: Bench) -> None:
    text = f"{HEAD}contract A {{ uint256 v; function f(uint256 a) external {{ v = a; v = a; }} }}"
    first, second = bench.mutants(text)
    assert first.id != second.id


def test_the_same_program_has_the_same_code_and_another_has_not(bench: Bench, compiler: Compiler) -> None:
    text = f"{HEAD}contract A {{ uint256 v; function f(uint256 a) external {{ v = a; }} }}"
    bench.mutants(text)
    code = compiler.bytecode({"A.sol": "A"}, changed={})
    assert compiler.bytecode({"A.sol": "A"}, changed={"A.sol": text.replace("v = a;", "v = (a);")}) == code
    assert compiler.bytecode({"A.sol": "A"}, changed={"A.sol": text.replace("v = a;", "{}")}) != code


def test_what_is_not_solidity_does_not_compile(bench: Bench, compiler: Compiler) -> None:
    bench.mutants(f"{HEAD}contract A {{}}")
    with pytest.raises(DoesNotCompile, match="Undeclared identifier"):
        compiler.bytecode({"A.sol": "A"}, changed={"A.sol": f"{HEAD}contract A {{ uint256 v = w; }}"})


def test_importers_are_found_through_other_files(folder: Path, compiler: Compiler) -> None:
    for name, text in {
        "L.sol": "",
        "M.sol": 'import "./L.sol";',
        "N.sol": 'import "./M.sol";',
        "O.sol": "",
    }.items():
        (folder / name).write_text(HEAD + text, encoding="utf-8")
    trees = compiler.trees(["N.sol", "O.sol"])
    assert importers(trees, "L.sol") == {"L.sol", "M.sol", "N.sol"}
