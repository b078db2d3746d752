"""Words of a text as they are searched: lower case, letters and digits only, without accents; so no word is ever syntax."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_WORD: Final = re.compile(r"[^\W_]+")


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text in order; what is written and what is asked for goes through this alike."""
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(char for char in parts if not unicodedata.combining(char))
    return tuple(_WORD.findall(text.lower()))
