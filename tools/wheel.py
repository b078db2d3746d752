"""Build the wheel and try it where nothing else of the project is: what a user gets from `pip install`.

The environment holds the locked run-time dependencies alone, without the extras. Every file of the package must
have come along, every module must import, and the command must carry a model from one account to another: publish,
serve, buy, pull, and a trail that is verified offline. The processes see a home, a working folder and variables of
their own, and of this checkout nothing but the chain that it installed.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "backend" / "steelyard"
UV = ROOT / ".venv-uv" / "bin" / "uv"
SECONDS = 120
VERIFICATION_FAILED = 5

IMPORT_ALL = """
import importlib, pkgutil, sys, steelyard
# The demonstration needs the extra `demo`, the index on PostgreSQL the extra `postgres`.
names = [module.name for module in pkgutil.walk_packages(steelyard.__path__, "steelyard.")]
names = [n for n in names if not n.startswith("steelyard.demo") and not n.endswith((".__main__", ".postgres"))]
count = 0
for name in names:
    try:
        importlib.import_module(name)
        count += 1
    except ModuleNotFoundError as error:
        # Only what runs or calls hosted models may lack something, and only the extras `host` and `use`.
        if error.name not in ("numpy", "onnxruntime") or not name.startswith(("steelyard.gateway.", "steelyard.metering.")):
            raise
assert "site-packages" in steelyard.__file__, steelyard.__file__
print(count)
"""


class WheelError(Exception):
    """The wheel is not what it should be."""


def run(command: list[str], *, cwd: Path = ROOT, env: dict[str, str] | None = None, code: int = 0) -> str:
    """Run a command without the project on any path; returns its stdout.

    Args:
        command: Program and arguments.
        cwd: Where to run it.
        env: All of its environment; by default this process's own.
        code: The exit code that is right.

    Raises:
        WheelError: It ended otherwise; carries what it printed.
    """
    if env is None:
        env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode != code:
        raise WheelError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def require(fact: bool, what: str) -> None:
    """Stop if something is not as it should be.

    Raises:
        WheelError: It is not.
    """
    if not fact:
        raise WheelError(what)


def build(target: Path) -> Path:
    """Build the wheel into an empty folder."""
    shutil.rmtree(target, ignore_errors=True)
    run([sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(target)])
    (wheel,) = target.glob("*.whl")
    return wheel


def check_contents(wheel: Path) -> int:
    """Compare the wheel with the source folder; returns the number of files.

    Raises:
        WheelError: A file is missing, added or different.
    """
    with zipfile.ZipFile(wheel) as archive:
        packed = {n: archive.read(n) for n in archive.namelist() if ".dist-info/" not in n}
    files = [f for f in PACKAGE.rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    expected = {f.relative_to(PACKAGE.parent).as_posix(): f.read_bytes() for f in files}
    if packed != expected:
        differing = sorted(n for n in packed.keys() | expected.keys() if packed.get(n) != expected.get(n))
        raise WheelError(f"differs from backend/steelyard in: {', '.join(differing)}")
    return len(packed)


@dataclass(frozen=True)
class User:
    """Somebody who has installed the wheel, with a home and a working folder of his own.

    Attributes:
        program: The installed command.
        folder: Holds his home and is where he works.
        more: Further variables of his environment.
    """

    program: Path
    folder: Path
    more: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """All that his processes get to know of the machine."""
        path = os.pathsep.join([str(self.program.parent), "/usr/bin", "/bin"])
        base = {"HOME": str(self.folder), "PATH": path, "PYTHONNOUSERSITE": "1", "LANG": "C.UTF-8"}
        return base | self.more

    def __call__(self, *arguments: str, code: int = 0) -> Any:
        """Run the command with --json; returns the document it printed.

        Raises:
            WheelError: It did not end with this code.
        """
        command = [str(self.program), *arguments, "--json"]
        return json.loads(run(command, cwd=self.folder, env=self.env, code=code))

    @contextmanager
    def serving(self, account: str) -> Iterator[None]:
        """Run the key service of an account.

        Raises:
            WheelError: It did not end well, or delivered nothing.
        """
        command = [str(self.program), "serve", "--account", account, "--interval", "1s", "--json"]
        log = self.folder / "serve.log"
        with (
            log.open("w", encoding="utf-8") as err,
            subprocess.Popen(
                command, cwd=self.folder, env=self.env, stdout=subprocess.PIPE, stderr=err, text=True
            ) as service,
        ):
            try:
                yield
            finally:
                service.send_signal(signal.SIGTERM)
                out, _ = service.communicate(timeout=SECONDS)
        require(service.returncode == 0, f"serve: exit code {service.returncode}\n{log.read_text()}")
        require(json.loads(out)["delivered"] == 1, f"serve did not deliver once: {out}")


def install(wheel: Path, environment: Path) -> None:
    """Install the wheel into a new environment beside the locked run-time dependencies.

    Raises:
        WheelError: It cannot be installed.
    """
    python = environment / "bin" / "python"
    base = os.path.realpath(sys.executable)
    run([str(UV), "--quiet", "venv", "--no-python-downloads", "--python", base, str(environment)])
    command = [str(UV), "--quiet", "pip", "install", "--python", str(python)]
    run([*command, "--require-hashes", "-r", str(ROOT / "locks" / "runtime.txt")])
    run([*command, "--no-deps", str(wheel)])


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder: bytes by path."""
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def sell(user: User) -> None:
    """Carry a model from one account to another, and give its trail to an auditor.

    Raises:
        WheelError: A step failed, or something did not come out as it should.
    """
    model = user.folder / "model"
    (model / "extra").mkdir(parents=True)
    (model / "README.md").write_text("# A small model\n", encoding="utf-8")
    (model / "weights.bin").write_bytes(secrets.token_bytes((1 << 20) + 77))
    (model / "extra" / "labels.json").write_text('["zero", "one"]', encoding="utf-8")
    password = user.folder / "password"
    password.write_text("a password of this trial\n", encoding="utf-8")

    made = user("account", "create", "dora", "--password-file", str(password))
    require(made["name"] == "dora", f"account create: {made}")
    user("publish", str(model), "--name", "digits", "--price", "0.05eth", "--account", "alice")
    with user.serving("alice"):
        bought = user("buy", "alice/digits", "--account", "bob", "--yes")
    require(bought["state"] == "settled", f"buy: {bought['state']}")
    pulled = user("pull", "alice/digits", "--account", "bob")
    require(contents(Path(pulled["path"])) == contents(model), "what was pulled is not what was published")


def audit(user: User, *, chain_id: int, directory: str) -> None:
    """Export a trail, and verify it as somebody who has nothing but the wheel, the file, and what he trusts.

    Raises:
        WheelError: A step failed, or a trail without one of its entries was accepted.
    """
    bundle = user.folder / "bundle.json"
    user("audit", "export", "alice/digits", "--output", str(bundle))
    seen = user("audit", "verify", str(bundle))
    auditor = User(user.program, user.folder / "auditor")
    auditor.folder.mkdir()
    trusted = ("--chain-id", str(chain_id), "--directory", directory, "--block-hash", seen["block_hash"])
    require(auditor("audit", "verify", str(bundle), *trusted) == seen, "offline another outcome")
    document = json.loads(bundle.read_bytes())
    del document["entries"][1]
    bundle.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")), encoding="utf-8")
    auditor("audit", "verify", str(bundle), *trusted, code=VERIFICATION_FAILED)


def try_out(wheel: Path, folder: Path) -> int:
    """Install the wheel into a new environment and use it; returns the number of modules imported.

    Raises:
        WheelError: Something does not work.
    """
    environment, home = folder / "environment", folder / "home"
    install(wheel, environment)
    home.mkdir()
    anvil = shutil.which("anvil", path=str(ROOT / "build" / "bin")) or shutil.which("anvil")
    require(anvil is not None, "anvil is needed: make setup installs it into build/bin")
    variables = {"STEELYARD_ANVIL": os.path.realpath(str(anvil)), "STEELYARD_HTTP": "127.0.0.1:0"}
    user = User(environment / "bin" / "steelyard", home, variables)
    modules = int(run([str(environment / "bin" / "python"), "-c", IMPORT_ALL], cwd=home, env=user.env))
    try:
        up = user("up", "--dev")
        sell(user)
        audit(user, chain_id=up["chain_id"], directory=up["directory"])
    finally:
        down = user("down")
    require(down["stopped"] and not user("status")["running"], "it still runs after `down`")
    return modules


def main() -> int:
    """Build, compare, try out; returns the exit code."""
    start = time.monotonic()
    try:
        wheel = build(ROOT / "build" / "wheel")
        files = check_contents(wheel)
        with tempfile.TemporaryDirectory() as folder:
            modules = try_out(wheel, Path(folder))
    except (WheelError, subprocess.TimeoutExpired) as error:
        print(error)
        print("wheel: 1 failed")
        return 1
    print(f"{wheel.name}: {files} files, {modules} modules import")
    print("published, served, bought, pulled, audited: the same bytes, from an empty environment")
    print(f"wheel: 1 passed in {time.monotonic() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
