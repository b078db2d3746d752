import copy
import pickle
import traceback

import pytest

from steelyard.crypto.secret import Secret
from steelyard.errors import InputError

CANARY = bytes(range(1, 33))


def test_no_textual_form_shows_the_bytes() -> None:
    secret = Secret(CANARY)
    forms = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret:>40}",
        f"{secret!r}",
        f"{[secret]}",
    ]
    for form in forms:
        assert "***" in form
        assert (
            CANARY.hex() not in form and repr(CANARY)[2:-1] not in form and str(secret.scalar()) not in form
        )


def test_traceback_of_a_refusal_does_not_repeat_the_bytes() -> None:
    try:
        Secret(CANARY + b"!")
    except InputError as error:
        assert CANARY.hex() not in "".join(traceback.format_exception(error))
        assert repr(CANARY)[2:-1] not in "".join(traceback.format_exception(error))


def test_pickling_and_copying_are_refused() -> None:
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            act(Secret(CANARY))


def test_has_no_hash_and_no_dictionary() -> None:
    with pytest.raises(TypeError):
        hash(Secret(CANARY))
    assert not hasattr(Secret(CANARY), "__dict__")


def test_equality_is_by_value() -> None:
    assert Secret(CANARY) == Secret(CANARY)
    assert Secret(CANARY) != Secret(bytes(32))
    assert Secret(CANARY) != CANARY


@pytest.mark.parametrize("length", [0, 31, 33])
def test_only_32_bytes(length: int) -> None:
    with pytest.raises(InputError):
        Secret(bytes(length))


@pytest.mark.parametrize("value", [-1, 1 << 256])
def test_scalar_out_of_range(value: int) -> None:
    with pytest.raises(InputError):
        Secret.from_scalar(value)


def test_scalar_is_big_endian() -> None:
    assert Secret.from_scalar(258).reveal() == bytes(30) + b"\x01\x02"
    assert Secret(CANARY).scalar() == int.from_bytes(CANARY, "big")
