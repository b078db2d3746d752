"""The mutation operators of Solidity: what can be changed at a node of the syntax tree.

What order two hashes, addresses or states have means nothing in these contracts, so `==` and `!=` become `<` or `>` only
between numbers, where `<=`, `>=` and a constant together are as strong a test as all six (the sufficient set of
Kaminski, Ammann and Offutt, 2013). Changes that are equal by the type alone are left out: `x <= 0` for `x == 0`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from .mutant import Change, Mutant, name_all
from .syntax import Node, walk
from .yul import yul_changes

RELATIONS = {
    "<": ("<=", "!="),
    ">": (">=", "!="),
    "<=": ("<", "=="),
    ">=": (">", "=="),
    "==": ("<=", ">="),
    "!=": ("<", ">"),
}
CONSTANT = {"<": "false", ">": "false", "<=": "true", ">=": "true", "==": "false", "!=": "true"}
ARITHMETIC = {"+": ("-", "*"), "-": ("+",), "*": ("/", "+"), "/": ("*", "%"), "%": ("/", "*"), "**": ("*",)}
BITWISE = {"&": ("|",), "|": ("&",), "^": ("&", "|"), "<<": (">>",), ">>": ("<<",)}
COMPOUND = {
    "+=": "-=",
    "-=": "+=",
    "*=": "/=",
    "|=": "&=",
    "&=": "|=",
    "^=": "|=",
    "<<=": ">>=",
    ">>=": "<<=",
}
NUMBER = re.compile(r"u?int\d*$|int_const\b|uint")
DEFAULTS = {"address": "address(0)", "bool": "false", "string memory": '""'}
COMPOUNDS = {"BinaryOperation", "Conditional", "Assignment"}


class Site:
    """A node in its surroundings, and the source that it stands in."""

    def __init__(
        self,
        node: Node,
        /,
        *,
        source: bytes,
        above: tuple[Node, ...],
        field: str,
        following: Mapping[str, str],
    ) -> None:
        """Keep them."""
        self.node, self.source, self.above, self.field, self.following = node, source, above, field, following

    def text(self, node: Node) -> str:
        """Return the source of a node."""
        return self.source[node.start : node.end].decode()

    def operand(self, node: Node) -> str:
        """Return the source of a node so that no neighbour's operator can tear it apart."""
        return f"({self.text(node)})" if node.kind in COMPOUNDS else self.text(node)

    def whole(self, operator: str, new: str, node: Node | None = None) -> Change:
        """Return the replacement of a node, of this one by default."""
        node = node or self.node
        return Change(operator, node.start, node.end, new)

    def statement(self, operator: str) -> Change:
        """Return the replacement of this statement, with its semicolon, by an empty block."""
        end = self.node.end
        while self.source[end : end + 1].isspace():
            end += 1
        end += self.source[end : end + 1] == b";"
        return Change(operator, self.node.start, end, "{}")


def _reverts(body: Node) -> bool:
    """Tell whether a branch does nothing but revert."""
    if body.kind == "Block":
        statements = body.children("statements")
        return len(statements) == 1 and _reverts(statements[0])
    return body.kind == "RevertStatement"


def condition(site: Site) -> Iterator[Change]:
    """A check is deleted (its condition is false) or turned round; other branches are always or never taken."""
    node = site.node.child("condition")
    if site.node.kind == "IfStatement" and _reverts(site.node.child("trueBody")):
        yield site.whole("check", "false", node)
        yield site.whole("check", f"!({site.text(node)})", node)
        return
    yield site.whole("condition", "false", node)
    if site.node.kind != "WhileStatement":
        yield site.whole("condition", "true", node)


def _is_zero(node: Node) -> bool:
    return node.kind == "Literal" and node.word("value") in ("0", "0x00")


def binary(site: Site) -> Iterator[Change]:
    """Another operator of the same family, or one operand alone for `&&` and `||`."""
    node = site.node
    left, right, old = node.child("leftExpression"), node.child("rightExpression"), node.word("operator")

    def form(new: str) -> str:
        return f"({site.operand(left)} {new} {site.operand(right)})"

    if old in RELATIONS:
        numbers = NUMBER.match(left.type()) and NUMBER.match(right.type())
        for new in RELATIONS[old] if numbers else ():
            unsigned = _is_zero(right) and (old, new) in {
                ("==", "<="),
                ("!=", ">"),
                (">", "!="),
                ("<=", "=="),
            }
            # A counter that goes up by one meets its bound.
            counted = site.field == "condition" and site.above[-1].kind == "ForStatement" and new == "!="
            if not unsigned and not counted:
                yield site.whole("relation", form(new))
        if old in ("==", "!="):
            yield site.whole("relation", form("!=" if old == "==" else "=="))
        yield site.whole("relation", CONSTANT[old])
    elif old in ("&&", "||"):
        yield site.whole("logic", form("||" if old == "&&" else "&&"))
        yield site.whole("logic", site.operand(left))
        yield site.whole("logic", site.operand(right))
    else:
        for name, table in (("arithmetic", ARITHMETIC), ("bitwise", BITWISE)):
            for new in table.get(old, ()):
                yield site.whole(name, form(new))


def unary(site: Site) -> Iterator[Change]:
    """A negation is dropped; up becomes down."""
    node, old = site.node, site.node.word("operator")
    inner = node.child("subExpression")
    if old in ("!", "-", "~"):
        yield site.whole("negation", site.text(inner))
    elif old in ("++", "--") and not (len(site.above) > 1 and site.above[-2].kind == "ForStatement"):
        new, text = ("--" if old == "++" else "++"), site.text(inner)
        yield site.whole("arithmetic", new + text if node.word("prefix") == "True" else text + new)


def assignment(site: Site) -> Iterator[Change]:
    """A compound assignment gets another operator."""
    node, old = site.node, site.node.word("operator")
    if old in COMPOUND:
        left, right = node.child("leftHandSide"), node.child("rightHandSide")
        yield site.whole("assignment", f"{site.text(left)} {COMPOUND[old]} {site.text(right)}")
        yield site.whole("assignment", f"{site.text(left)} = {site.text(right)}")


def statement(site: Site) -> Iterator[Change]:
    """Something that changes state is left out: an assignment, a call, an event, a revert that ends a branch."""
    if site.field in ("loopExpression", "initializationExpression"):
        return
    # A check is deleted by its condition.
    inner = next((outer for outer in reversed(site.above) if outer.kind != "Block"), site.node)
    if not (
        site.node.kind == "RevertStatement"
        and inner.kind == "IfStatement"
        and _reverts(inner.child("trueBody"))
    ):
        yield site.statement("statement")


def literal(site: Site) -> Iterator[Change]:
    """A Boolean is flipped, a number is one more, one less or zero, a text is another one."""
    node, text = site.node, site.text(site.node)
    if any(outer.kind == "ArrayTypeName" for outer in site.above):
        return
    if node.word("kind") == "bool":
        yield site.whole("literal", "false" if text == "true" else "true")
    elif node.word("kind") == "string":
        yield site.whole("literal", text[:-1] + "!" + text[-1])
    elif node.word("kind") == "number":
        digits, _, unit = text.partition(" ")
        try:
            value = int(digits.replace("_", ""), 0)
        except ValueError:
            return
        for new in sorted({value + 1, value - 1, 0} - {value, -1}):
            if digits.lower().startswith("0x"):
                width = len(digits) - 2
                if new >= 16**width:
                    continue
                written = f"0x{new:0{width}x}"
            else:
                written = str(new)
            yield site.whole("literal", f"{written} {unit}".strip())


def member(site: Site) -> Iterator[Change]:
    """A member of an enum becomes the next one."""
    node = site.node
    following = site.following.get(node.word("referencedDeclaration"))
    if following and following != node.word("memberName"):
        yield site.whole("enum", f"{site.text(node.child('expression'))}.{following}")


def call(site: Site) -> Iterator[Change]:
    """Two neighbouring arguments of one type change places."""
    node = site.node
    if node.word("kind") != "functionCall" or node.has("names"):
        return
    arguments = node.children("arguments")
    commutes = node.child("expression").word("name") in ("addmod", "mulmod")
    for i, (a, b) in enumerate(pairwise(arguments)):
        if a.type() == b.type() != "" and not (commutes and i == 0):
            between = site.source[a.end : b.start].decode()
            yield Change("arguments", a.start, b.end, site.text(b) + between + site.text(a))


def result(site: Site) -> Iterator[Change]:
    """What a function returns becomes the zero of its type, or true."""
    if not site.node.has("expression"):
        return
    value = site.node.child("expression")
    for part in value.children("components") if value.kind == "TupleExpression" else (value,):
        kind = part.type()
        if part.kind == "Literal":
            continue
        if NUMBER.match(kind):
            yield site.whole("result", "0", part)
        elif kind in DEFAULTS:
            yield site.whole("result", DEFAULTS[kind], part)
        elif re.match(r"bytes\d+$", kind):
            yield site.whole("result", f"{kind}(0)", part)
        if kind == "bool":
            yield site.whole("result", "true", part)


def modifier(site: Site) -> Iterator[Change]:
    """A modifier is taken off."""
    if site.node.word("kind") == "modifierInvocation":
        yield site.whole("modifier", "")


def assembly(site: Site) -> Iterator[Change]:
    """The operators of assembly."""
    yield from yul_changes(site.node.child("AST"), site.source)


OPERATORS: dict[str, Callable[[Site], Iterator[Change]]] = {
    "IfStatement": condition,
    "Conditional": condition,
    "WhileStatement": condition,
    "BinaryOperation": binary,
    "UnaryOperation": unary,
    "Assignment": assignment,
    "ExpressionStatement": statement,
    "EmitStatement": statement,
    "RevertStatement": statement,
    "TryStatement": statement,
    "Break": statement,
    "Literal": literal,
    "MemberAccess": member,
    "FunctionCall": call,
    "Return": result,
    "ModifierInvocation": modifier,
    "InlineAssembly": assembly,
}


def _where(above: tuple[Node, ...]) -> str:
    """Return the name of the function or of the constant that a node is in."""
    for outer in above:
        if outer.kind == "FunctionDefinition":
            return outer.word("name") or outer.word("kind")
        if outer.kind == "VariableDeclaration":
            return outer.word("name")
    return ""


def mutants(file: str, source: bytes, tree: Node, *, following: Mapping[str, str]) -> list[Mutant]:
    """Return all mutants of a file, in the order of their places.

    Args:
        file: Path from the root of the project, part of the names.
        source: The file, UTF-8.
        tree: Its syntax tree.
        following: The member after each member of an enum, see ``syntax.next_members``.
    """
    changes: list[Change] = []
    for node, above, field in walk(tree):
        if operator := OPERATORS.get(node.kind):
            site = Site(node, source=source, above=above, field=field, following=following)
            changes += (replace(change, where=_where(above)) for change in operator(site))
    return name_all(file, source, changes)
