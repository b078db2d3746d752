"""The description: valid, complete, and what the service does."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from steelyard.api.endpoints import endpoints
from steelyard.api.openapi import PATH, codes_of, document
from steelyard.api.problem import CODES
from steelyard.api.reply import JSON
from steelyard.indexer.database import open_database
from tests.unit.api.reading import Reader


@cache
def description() -> dict[str, Any]:
    return document(endpoints())


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(description()).validate()


def test_every_endpoint_is_in_it_with_every_status_and_no_other() -> None:
    there = {(path, method.upper()) for path, item in description()["paths"].items() for method in item}
    assert there == {(item.path, item.method) for item in endpoints()}
    for item in endpoints():
        said = description()["paths"][item.path][item.method.lower()]
        assert said["operationId"] == item.name
        statuses = {str(item.status), *map(str, item.also), *(str(CODES[code][0]) for code in codes_of(item))}
        assert statuses <= set(said["responses"]) <= statuses | {"304", "206"}


def test_every_code_that_an_endpoint_names_exists() -> None:
    assert {code for item in endpoints() for code in codes_of(item)} <= set(CODES)


def test_parameters_say_their_ranges() -> None:
    said = {item["name"]: item for item in description()["paths"]["/v1/events"]["get"]["parameters"]}
    assert said["limit"]["schema"] == {"type": "integer", "minimum": 1, "maximum": 500}
    assert said["party"]["schema"]["enum"][:2] == ["actor", "owner"]
    assert said["kinds"]["schema"]["type"] == "array"
    assert said["at_least"]["schema"]["type"] == "string"


def test_amounts_are_text() -> None:
    schemas = description()["components"]["schemas"]
    assert schemas["Payment"]["properties"]["amount"]["type"] == "string"
    assert schemas["PageOfPayment"]["properties"]["items"]["items"] == {
        "$ref": "#/components/schemas/Payment"
    }
    assert schemas["AssetPage"]["properties"]["items"]["items"] == {"$ref": "#/components/schemas/Asset"}


def test_what_is_private_says_so() -> None:
    for item in endpoints():
        said = description()["paths"][item.path][item.method.lower()]
        assert ("security" in said) == item.signed_in


def test_the_service_gives_it(tmp_path: Any) -> None:
    database = open_database(tmp_path / "index.sqlite")
    with Reader(database, tmp_path) as reader:
        got = reader.get(PATH)
        assert got.headers["content-type"] == JSON
        assert got.json["servers"] == [{"url": reader.service.options.public_url}]
        assert PATH in got.json["paths"]
    database.close()


@pytest.mark.parametrize("name", ["Event", "Asset", "Purchase", "Root", "Problem"])
def test_what_is_named_is_described(name: str) -> None:
    assert description()["components"]["schemas"][name]["description"]
