"""Licence ids of cards: SPDX expressions, and the names that the Hugging Face Hub has beside them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from license_expression import Licensing

_MAX: Final = 300
HUB: Final = frozenset(
    {"other", "unknown", "openrail", "openrail++", "creativeml-openrail-m", "bigscience-openrail-m", "bigscience-bloom-rail-1.0",
     "bigcode-openrail-m", "llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "gemma", "deepfloyd-if-license",
     "apple-ascl", "apple-amlr", "intel-research", "fair-noncommercial-research-license", "etalab-2.0", "cc", "pddl",
     "lgpl-lr", "h-research", "grok2-community"}
)  # fmt: skip
"""Ids of the Hub that SPDX does not have. Source: Hugging Face Hub, "Licenses"."""
NAMELESS: Final = frozenset({"other", "unknown"})
"""Ids that say nothing without a name and a link."""


def is_known(text: str) -> bool:
    """Whether a licence is an SPDX expression of known ids, in any case, or an id of the Hub."""
    if text.lower() in HUB:
        return True
    if not text or len(text) > _MAX:
        return False
    from license_expression import ExpressionError

    try:
        return _spdx().parse(text, validate=True) is not None
    except ExpressionError:
        return False


@cache
def _spdx() -> Licensing:
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()
