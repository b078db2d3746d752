"""Every parser of ours that reads what strangers write: how to call it, what it may raise, what must hold afterwards, seeds.

A target that returns means: read, and what was read is written back as the same bytes where there is a writer. Anything
raised but the errors that a parser names is a finding. In order: what is read first, and by most.
"""

from __future__ import annotations

from tests.fuzz.documents import DOCUMENTS
from tests.fuzz.exchanges import EXCHANGES
from tests.fuzz.files import FILES
from tests.fuzz.network import NETWORK
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {**FILES, **NETWORK, **EXCHANGES, **DOCUMENTS}
"""All targets, by name."""
