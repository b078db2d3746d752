"""Chat templates: programs for Jinja, which some servers run without its sandbox (CVE-2024-34359, CVE-2026-5760)."""

from __future__ import annotations

import re
from typing import Final

# Ways out of a template: inner attributes of Python's objects by their names, or by the filter that takes any name; and
# underscores that are spelt so as not to be seen.
_WAYS_OUT: Final = re.compile(
    r"__(?:base|bases|builtins|call|class|closure|code|context|dict|func|getattr|getattribute|globals|import|init|loader|mro|reduce|"
    r"reduce_ex|self|subclasses|wrapped)__"
    r"|_TemplateReference__|\|\s*attr\b|\\(?:x5[fF]|u005[fF]|U0000005[fF]|137|N\{LOW LINE\})"
)


def why(template: str) -> str | None:
    """Return why a chat template is code, or None for one that reaches for nothing but its messages."""
    found = _WAYS_OUT.search(template)
    if found is None:
        return None
    return f"its chat template reaches for what is inside Python ({found[0][:40]!a}), which some servers let it do"
