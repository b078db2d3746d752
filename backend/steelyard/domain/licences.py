"""Licence ids of cards: SPDX expressions, and the names that the Hugging Face Hub has beside them."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from license_expression import Licensing

_MAX: Final = 300
_OWN: Final = re.compile(r"[^\s()]+")
# Source: SPDX 2.3, annex D.
_REFERENCE: Final = re.compile(r"(documentref-[a-z0-9.-]+:)?licenseref-[a-z0-9.-]+")
HUB: Final = frozenset(
    {"other", "unknown", "openrail", "openrail++", "creativeml-openrail-m", "bigscience-openrail-m", "bigscience-bloom-rail-1.0",
     "bigcode-openrail-m", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "gemma", "deepfloyd-if-license",
     "apple-ascl", "apple-amlr", "intel-research", "fair-noncommercial-research-license", "etalab-2.0", "cc", "pddl",
     "lgpl-lr", "h-research", "grok2-community", "bsd", "c-uda", "gfdl", "lgpl", "odc-by", "odbl", "openmdw-1.0", "openmdw-1.1"}
)  # fmt: skip
"""Ids of the Hub that SPDX does not have. Source: Hugging Face Hub, "Licenses"."""
NAMELESS: Final = frozenset({"other", "unknown"})
"""Ids that say nothing without a name and a link."""


def is_known(text: str) -> bool:
    """Whether a licence is an SPDX expression, in any case, of ids that are known, or are the Hub's, or references of its own."""
    if not text or len(text) > _MAX:
        return False
    from license_expression import ExpressionError

    plain = _OWN.sub(lambda found: "mit" if _is_own(found[0].lower()) else found[0], text)
    try:
        return _spdx().parse(plain, validate=True) is not None
    except (ExpressionError, IndexError, AssertionError):  # the last two escape from boolean.py
        return False


def _is_own(term: str) -> bool:
    return term in HUB or _REFERENCE.fullmatch(term) is not None


@cache
def _spdx() -> Licensing:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()
