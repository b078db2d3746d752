"""One parser under atheris, in a process and an environment of its own: see campaign.py.

python -m tests.fuzz.child NAME [libFuzzer's options] CORPUS
"""

from __future__ import annotations

import sys

import atheris  # type: ignore[import-not-found]  # only in .venv-atheris

with atheris.instrument_imports(include=["steelyard"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Run one target until its time is over or something is found."""
    target = TARGETS[sys.argv.pop(1)]

    def test(data: bytes) -> None:
        try:
            target.run(data)
        except target.allowed:
            pass

    atheris.Setup(sys.argv, test)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
