"""schemathesis against the HTTP service and its own description, from an environment of its own.

    python -m tests.faults.fuzz_http [--examples N] [--seconds N] [--seed N] [further arguments of schemathesis]

The service runs in this process on a market with something in it. Twice: as nobody, and signed in. Every answer must have a status,
headers, media type and body that the description knows, and none may be 5xx. Besides what schemathesis says, the answers are counted
by the service itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from steelyard.api.service import Limits, Options
from tests.e2e.kill.shop import opened
from tests.faults.served import Served, prepare, served

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / ".venv-fuzz" / "bin" / "schemathesis"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "ignored_auth",
)
ENDLESS = "/v1/events/stream"
"""Its answers do not end; tests of their own read them."""
_COUNT = re.compile(r"^steelyard_\w*requests\w*total\{([^}]*)\} ([0-9.e+]+)$", re.MULTILINE)


def answered(service: Served) -> Counter[str]:
    """Return how many requests the service says it has answered, by status."""
    _, _, body = service.ask("GET", "/metrics")
    found: Counter[str] = Counter()
    for labels, number in _COUNT.findall(body.decode()):
        status = re.search(r'(?:status|code)="(\d+\w*)"', labels)
        found[status[1] if status else "?"] += int(float(number))
    return found


def run(service: Served, *, token: str | None, given: argparse.Namespace, more: list[str]) -> int:
    """Run schemathesis once; returns its exit code."""
    command = [str(PROGRAM), "run", f"{service.url}/v1/openapi.json", "--no-color"]
    command += [
        "--checks",
        ",".join(CHECKS),
        "--seed",
        str(given.seed),
        "--max-examples",
        str(given.examples),
    ]
    # When signed in not the end of the session either: all that comes after would be refused.
    excluded = ENDLESS if token is None else f"({ENDLESS}|/v1/session)"
    command += ["--exclude-path-regex", f"^{excluded}$", "--continue-on-failure", "--request-timeout", "30"]
    command += ["--suppress-health-check", "all", "--generation-database", "none"]
    if given.seconds:
        command += ["--max-time", str(given.seconds)]
    if token is not None:
        command += ["--header", f"Authorization: Bearer {token}"]
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(Path(__file__).with_name("fuzz_hooks.py"))}
    with tempfile.TemporaryDirectory() as place:
        return subprocess.run([*command, *more], cwd=place, check=False, env=environment).returncode


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=25)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    given, more = parser.parse_known_args()
    print(f"fuzz-http: seed {given.seed}", flush=True)
    began = time.monotonic()
    codes = []
    with tempfile.TemporaryDirectory(prefix="steelyard-fuzz-") as folder, opened(Path(folder)) as shop:
        prepare(shop)
        with served(shop, limits=Limits(per_minute=0), options=Options(max_lag=1 << 40)) as service:
            document = json.loads(service.ask("GET", "/v1/openapi.json")[2])
            operations = sum(len(methods) for methods in document["paths"].values())
            for name in ("nobody", "signed in"):
                print(f"fuzz-http: as {name}", flush=True)
                token = None if name == "nobody" else service.sign_in()
                codes.append(run(service, token=token, given=given, more=more))
            counts = answered(service)
    wrong = sum(count for status, count in counts.items() if status.startswith("5") and status != "503")
    print(
        f"fuzz-http: {sum(counts.values())} requests to {operations} operations, "
        f"{', '.join(f'{status} {count}' for status, count in sorted(counts.items()))}; errors of the service {wrong}; "
        f"schemathesis {'content' if not any(codes) else 'found something'}; {time.monotonic() - began:.0f} s"
    )
    return 1 if wrong or any(codes) else 0


if __name__ == "__main__":
    sys.exit(main())
