"""Arrows go one way: cli, demo -> gateway -> api -> market -> service -> query -> indexer -> audit, formats, storage, chain, crypto -> domain -> errors."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "backend" / "steelyard"

BASE = {"errors"}
PARTS = {"domain"} | BASE
SERVED = PARTS | {"config", "formats", "crypto", "metering", "storage", "chain", "audit", "indexer", "query"}
ALLOWED = {
    "errors": set(),
    "config": BASE | {"domain"},
    "domain": BASE,
    "formats": PARTS,
    "crypto": PARTS,
    "metering": PARTS | {"crypto"},
    "storage": PARTS,
    "chain": PARTS,
    "audit": PARTS,
    "indexer": PARTS | {"storage", "chain", "audit"},
    "query": PARTS | {"indexer", "audit", "storage"},
    "service": SERVED | {"market"},
    "market": SERVED | {"service"},
    "api": SERVED | {"service", "market"},
    "gateway": SERVED | {"service", "market", "api"},
    "cli": SERVED | {"service", "market", "api", "gateway"},
    "demo": SERVED | {"service", "market", "api", "gateway"},
    "__init__": {"market", "errors", "service"},
}
ENVIRONMENT = {"config.py"}
WEB3 = {"chain/sender.py", "chain/wallet.py"}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imports(tree: ast.AST) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def test_every_layer_is_ruled() -> None:
    assert {layer(path) for path in modules()} <= ALLOWED.keys()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrows(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    ours = {name.split(".")[1] for name in imports(tree) if name.startswith("steelyard.")}
    assert ours - {layer(path)} <= ALLOWED[layer(path)]


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_named_modules_reach_outside(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    name = str(path.relative_to(PACKAGE))
    found = imports(tree)
    assert "brownie" not in {module.split(".")[0] for module in found}
    if name not in WEB3:
        assert not {"web3", "eth_account"} & {module.split(".")[0] for module in found}
    if name not in ENVIRONMENT:
        assert not {"os.environ", "os.getenv"} & found
        assert not any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") for node in ast.walk(tree)
        )
