"""Every request of the corpus gets the answer that stands beside it, and the service goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.kill.shop import opened
from tests.faults.hostile import Answer, Case, cases, send, wrong
from tests.faults.served import Served, prepare, served

CASES = cases()


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The service, and what it answered to each case."""

    service: Served
    answers: dict[str, Answer]


@pytest.fixture(scope="module")
def asked(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with opened(tmp_path_factory.mktemp("hostile")) as shop:
        known = prepare(shop)
        with served(shop) as service:
            known |= {
                "domain": f"{service.host}:{service.port}",
                "url": service.url,
                "token": service.sign_in(),
            }
            cursor = json.loads(service.ask("GET", "/v1/events?limit=1")[2])["next"].partition("cursor=")[2]
            cursor = (
                cursor.partition("&")[0] or json.loads(service.ask("GET", "/v1/events?limit=1")[2])["next"]
            )
            known |= {"events_cursor": cursor, "altered_cursor": cursor[:-3] + "AAA"}

            def one(case: Case) -> tuple[str, Answer]:
                fresh = (
                    json.dumps(service.message())[1:-1] if case.body and "fresh_message" in case.body else ""
                )
                return case.name, send(
                    service.host, service.port, case.data({**known, "fresh_message": fresh})
                )

            # Those that the service waits for, side by side.
            with ThreadPoolExecutor(8) as pool:
                yield Asked(service=service, answers=dict(pool.map(one, CASES)))


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) >= 200


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.encode("unicode_escape").decode("ascii"))
def test_it_gets_the_answer_that_it_must_get(asked: Asked, case: Case) -> None:
    assert wrong(case, asked.answers[case.name]) == []


def test_afterwards_it_answers_as_ever(asked: Asked) -> None:
    assert asked.service.ask("GET", "/healthz")[0] == 200
    assert asked.service.ask("GET", "/v1/events")[0] == 200


def test_no_hostile_request_was_an_error_of_the_service(asked: Asked) -> None:
    assert not [name for name, answer in asked.answers.items() if answer.status >= 500]
