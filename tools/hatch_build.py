"""Hook of the wheel's build: compiles the accelerator if a compiler is there, and names the platform that it is for."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent))
import native


class Hook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's generic argument names its own classes
    """Puts the compiled library into the wheel; without a compiler the wheel is one for every platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless for development, where the set-up does."""
        if version == "editable" or not native.suits() or native.build() is not None:
            return
        build_data["artifacts"].append(native.TARGET.relative_to(native.ROOT).as_posix())
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
