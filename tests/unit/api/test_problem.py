"""The table of problems: errors, documentation, and what a problem tells."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from steelyard import errors
from steelyard.api.problem import CODES, MAX_DETAIL, Problem, problem_of

DOCS = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


def classes() -> list[type[errors.SteelyardError]]:
    found = [item for item in vars(errors).values() if isinstance(item, type)]
    return [item for item in found if issubclass(item, errors.SteelyardError)]


def made(kind: type[errors.SteelyardError]) -> errors.SteelyardError:
    more: dict[type, dict[str, Any]] = {
        errors.LeafError: {"leaf": 1},
        errors.NotOnSaleError: {"stage": "draft"},
        errors.RpcError: {"code": 1, "reason": "x"},
        errors.PendingError: {"tx_hash": bytes(32)},
    }
    return kind("cannot read /home/alice/secret", **more.get(kind, {}))


@pytest.mark.parametrize("kind", [item for item in classes() if item is not errors.SteelyardError])
def test_every_error_of_ours_has_a_problem_of_its_own_kind(kind: type[errors.SteelyardError]) -> None:
    problem = problem_of(made(kind))
    if kind is not errors.ConfigError:
        assert problem.code != "internal"
    if issubclass(kind, errors.UnavailableError):
        assert problem.status == 503
    if problem.status >= 500:
        assert "alice" not in problem.detail, "what is ours stays here"


def test_the_documented_codes_are_those_that_there_are() -> None:
    table = DOCS[DOCS.index("## Problem codes") :]
    said: dict[str, int] = {}
    for row in re.findall(r"^\| (`.*?) \| ([0-9, ]+) \|", table, re.MULTILINE):
        codes, statuses = re.findall(r"`([a-z-]+)`", row[0]), [int(item) for item in row[1].split(",")]
        assert len(statuses) in (1, len(codes))
        said |= dict(zip(codes, statuses * (len(codes) if len(statuses) == 1 else 1), strict=True))
    assert said == {code: status for code, (status, _) in CODES.items()}


def test_a_problem_is_a_document() -> None:
    reply = Problem("bad-parameter", "x" * 1000, parameter="limit").reply()
    document = json.loads(reply.body)
    assert reply.status == document.pop("status") == 400
    assert reply.headers["content-type"] == "application/problem+json"
    assert len(document.pop("detail")) == MAX_DETAIL
    assert document == {
        "type": "/problems/bad-parameter",
        "title": CODES["bad-parameter"][1],
        "code": "bad-parameter",
        "parameter": "limit",
    }


def test_a_transaction_that_may_be_under_way_is_named() -> None:
    document = json.loads(problem_of(errors.PendingError("x", tx_hash=b"\x01" * 32)).reply().body)
    assert document["tx"] == "0x" + "01" * 32
