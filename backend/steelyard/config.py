"""Settings: where each comes from, and what it is.

Flag > environment (``STEELYARD_*``) > project file (``./steelyard.toml``) > user file > what ``steelyard up``
runs on this machine > default. This is the only module that reads the environment. docs/cli.md lists the
settings.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, cast
from urllib.parse import urlsplit

from steelyard.domain.money import format_native, parse_native
from steelyard.errors import AmountError, ConfigError

PREFIX: Final = "STEELYARD_"
PROJECT_FILE: Final = "steelyard.toml"
LOCAL_FILE: Final = "local.json"
"""Below home: what ``steelyard up`` runs, written by it."""
FINALIZED: Final = "finalized"
LEAST_MAX_FEE: Final = 10**8
"""Wei per gas. A sender adds up to 2^24 wei at random to what it offers."""
_MAX_FILE: Final = 1 << 20
_TRUE: Final = frozenset(("1", "true", "yes", "on"))
_FALSE: Final = frozenset(("", "0", "false", "no", "off"))


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every setting, resolved.

    Attributes:
        home: folder of keystores, deployment records, the embedded store and the state of ``steelyard up``.
        rpc: JSON-RPC endpoint of the chain, http or https; may hold credentials, so print `shown`. None: not
            known yet.
        chain_id: EIP-155 id that the endpoint must serve. None: any.
        deployment: deployment record. None: the one of the chain, below home or shipped with the package.
        store: a folder (embedded store), or the http(s) endpoint of a Kubo RPC.
        store_more: further stores of either kind: everything is written to all of them, and read from the
            fastest.
        gateways: trustless gateways, http or https, that blocks are read from too.
        account: name of the keystore to act with. None: the only one, if there is only one.
        password_file: file whose first line is the keystore's password. None: ask on the terminal.
        depth: blocks that a payment must be under before its key is revealed, or ``"finalized"``. None: 1 on
            development chains, ``"finalized"`` elsewhere.
        reveal_margin: seconds before a deadline in which no key is revealed any more. None: the service's
            default.
        max_fee: wei per gas that no transaction exceeds. None: the sender's own limit, 500 gwei.
        anvil: program to run as local chain. None: looked for on PATH and in node_modules.
        timeout: seconds for one answer of the chain.
        rpc_more: further endpoints of the same chain; the index asks them too and compares.
        database: the index: a file (SQLite) or ``postgresql://`` URL, which may hold a password, so print
            `shown`. None: a file below home.
        http: address and port of the HTTP service, such as ``127.0.0.1:8640``.
        public_url: URL under which others reach the service; sign-in messages must name it. None: the one of
            ``http``.
        offline: ask neither chain nor store; only what was pulled before can be had.
        debug: show tracebacks.
        aliases: addresses by the name that may stand for them in references; of the user file only.
        color: colours are wanted where there is a terminal (``NO_COLOR`` is not set, ``TERM`` is not
            ``dumb``).
        sources: for each setting, where its value comes from.
    """

    home: Path
    rpc: str | None = None
    chain_id: int | None = None
    deployment: Path | None = None
    store: str = ""
    store_more: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    account: str | None = None
    password_file: Path | None = None
    depth: int | str | None = None
    reveal_margin: int | None = None
    max_fee: int | None = None
    anvil: Path | None = None
    timeout: int = 20
    rpc_more: tuple[str, ...] = ()
    database: str | None = None
    http: str = "127.0.0.1:8640"
    public_url: str | None = None
    offline: bool = False
    debug: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    color: bool = True
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        """Name the settings without the credentials that an endpoint may hold."""
        return f"Config({', '.join(f'{item.name}={shown(self, item.name)}' for item in SETTINGS)})"


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: key in files; ``STEELYARD_`` and the name in capitals in the environment.
        read: from a value of a file, the environment or a flag; gets the folder that relative paths start
            from.
        what: one line of help.
        in_file: it can stand in a file only.
        personal: a project file may not set it, because a stranger's checkout could then run a program or
            read a file.
    """

    name: str
    read: Callable[[object, Path], object]
    what: str
    personal: bool = False
    in_file: bool = False

    @property
    def variable(self) -> str:
        """Name in the environment."""
        return PREFIX + self.name.upper()


def _path(value: object, base: Path) -> Path:
    text = _text(value, base)
    try:
        return Path(os.path.abspath(base / Path(text).expanduser()))
    except (RuntimeError, ValueError) as exc:
        raise ConfigError(f"{text!r} is not a path: {exc}") from exc


def _text(value: object, base: Path) -> str:
    if isinstance(value, Path):
        value = str(value)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ConfigError("must be a text, not empty")
    return value


def _url(value: object, base: Path) -> str:
    text = _text(value, base)
    try:
        parts = urlsplit(text)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        # Without the text, which may hold credentials.
        raise ConfigError("must be a URL that starts with http:// or https://")
    return text


def _store(value: object, base: Path) -> str:
    text = _text(value, base)
    return _url(text, base) if "://" in text else str(_path(text, base))


def _list(value: object) -> list[object]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise ConfigError("must be a list")
    return [part.strip() if isinstance(part, str) else part for part in parts]


def _urls(value: object, base: Path) -> tuple[str, ...]:
    return tuple(_url(part, base) for part in _list(value))


def _stores(value: object, base: Path) -> tuple[str, ...]:
    return tuple(_store(part, base) for part in _list(value))


def _database(value: object, base: Path) -> str:
    text = _text(value, base)
    if "://" not in text:
        return str(_path(text, base))
    if urlsplit(text).scheme not in ("postgresql", "postgres"):
        # Without the text, which may hold a password.
        raise ConfigError("must be a file, or a URL that starts with postgresql://")
    return text


def _listen(value: object, base: Path) -> str:
    text = _text(value, base)
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535):
        raise ConfigError("must be an address and a port, such as 127.0.0.1:8640")
    return text


def _account(value: object, base: Path) -> str:
    text = _text(value, base)
    if (
        not all(c.isascii() and (c.isalnum() or c in "._-") for c in text)
        or text[0] in ".-"
        or len(text) > 64
    ):
        raise ConfigError("must be the name of an account: letters, digits, '.', '_' and '-'")
    return text


def _integer(low: int, high: int) -> Callable[[object, Path], int]:
    def read(value: object, base: Path) -> int:
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ConfigError(f"must be a whole number from {low} to {high}")
        return value

    return read


def _depth(value: object, base: Path) -> int | str:
    return FINALIZED if value == FINALIZED else _integer(0, 1 << 20)(value, base)


def _fee(value: object, base: Path) -> int:
    try:
        fee = parse_native(_text(value, base))
    except AmountError as exc:
        raise ConfigError(str(exc)) from exc
    if fee < LEAST_MAX_FEE:
        raise ConfigError(f"must be at least {format_native(LEAST_MAX_FEE)}")
    return fee


def _aliases(value: object, base: Path) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ConfigError("must be a table of names and addresses")
    return MappingProxyType({name.lower(): address for name, address in value.items()})


def _flag(value: object, base: Path) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    raise ConfigError("must be true or false")


SETTINGS: Final = (
    Setting("home", _path, "folder of keystores, deployments, the store and local state", personal=True),
    Setting("rpc", _url, "JSON-RPC endpoint of the chain"),
    Setting("chain_id", _integer(1, (1 << 63) - 1), "chain id that the endpoint must serve"),
    Setting("deployment", _path, "deployment record to use instead of the chain's"),
    Setting("store", _store, "folder of the embedded store, or URL of a Kubo RPC"),
    Setting("store_more", _stores, "further stores: written to as well, and read from the fastest"),
    Setting("gateways", _urls, "trustless gateways that blocks are read from too"),
    Setting("account", _account, "name of the account to act with"),
    Setting("password_file", _path, "file whose first line is the account's password", personal=True),
    Setting("depth", _depth, "blocks above a payment before its key is revealed, or 'finalized'"),
    Setting("reveal_margin", _integer(0, 1 << 31), "seconds before a deadline in which no key is revealed"),
    Setting("max_fee", _fee, "most per gas, such as 50gwei; no transaction offers more"),
    Setting("anvil", _path, "program to run as local chain", personal=True),
    Setting("timeout", _integer(1, 3600), "seconds for one answer of the chain"),
    Setting("rpc_more", _urls, "further endpoints of the same chain, to compare answers"),
    Setting("database", _database, "the index: a file, or a postgresql:// URL"),
    Setting("http", _listen, "address and port of the HTTP service"),
    Setting("public_url", _url, "URL under which others reach the HTTP service"),
    Setting("aliases", _aliases, "table of names for creators' addresses", personal=True, in_file=True),
    Setting("offline", _flag, "ask nobody; only what was pulled before can be had"),
    Setting("debug", _flag, "show tracebacks", personal=True),
)
_BY_NAME: Final = {setting.name: setting for setting in SETTINGS}
_LOCAL: Final = ("rpc", "chain_id", "store", "deployment")


def load(
    flags: Mapping[str, object] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Config:
    """Resolve all settings. Reads at most three small files, and writes nothing.

    Args:
        flags: values given by the caller, by name of setting; None stands for not given.
        environ: the environment; that of the process if None.
        directory: where the project file is looked for and relative paths start; the working directory if
            None.

    Raises:
        ConfigError: a value or a file is malformed, or a project file sets what only its user may.
    """
    environ = os.environ if environ is None else environ
    directory = Path.cwd() if directory is None else directory
    values: dict[str, object] = {}
    sources: dict[str, str] = {}

    def take(layer: Mapping[str, object], base: Path, source: Callable[[str], str]) -> None:
        for name, value in layer.items():
            if name not in values and value is not None:
                try:
                    values[name] = _BY_NAME[name].read(value, base)
                except ConfigError as exc:
                    raise ConfigError(f"setting {name} from {source(name)}: {exc}") from exc
                sources[name] = source(name)

    take(dict(flags or {}), directory, lambda name: f"--{name.replace('_', '-')}")
    variables = {s.name: environ.get(s.variable) or None for s in SETTINGS if not s.in_file}
    take(variables, directory, lambda name: _BY_NAME[name].variable)
    project, user = directory / PROJECT_FILE, user_file(environ)
    take(_read_file(project, project=True), directory, lambda _: str(project))
    take(_read_file(user, project=False), user.parent, lambda _: str(user))
    if "home" not in values:
        from platformdirs import user_data_path  # takes 10 ms, so only where needed

        values["home"], sources["home"] = user_data_path("steelyard"), "default"
    home = cast(Path, values["home"])
    if "rpc" not in values:  # what runs here says nothing about another chain
        take(_read_local(home / LOCAL_FILE), home, lambda _: "steelyard up")
    if "store" not in values:
        values["store"] = str(home / "store")
    for setting in SETTINGS:
        sources.setdefault(setting.name, "default")
    color = not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    # The readers above gave each value the type of its field.
    return Config(**values, color=color, sources=MappingProxyType(sources))  # type: ignore[arg-type]


def user_file(environ: Mapping[str, str] | None = None) -> Path:
    """Return where the user's file is or would be: ``STEELYARD_CONFIG``, or in the platform's folder."""
    given = (os.environ if environ is None else environ).get(PREFIX + "CONFIG")
    if given:
        return Path(given).expanduser().absolute()
    from platformdirs import user_config_path

    return user_config_path("steelyard") / "config.toml"


def shown(config: Config, name: str) -> str | int | bool | dict[str, str] | None:
    """Return the value of a setting as it may be printed: of an endpoint, only scheme, host and port.

    Providers put their keys into the path, the query, or in front of the host.
    """
    value: object = getattr(config, name)
    if isinstance(value, str) and "://" in value:
        return shown_url(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return ", ".join(shown_url(item) if "://" in item else item for item in value)
    if name == "max_fee" and isinstance(value, int):
        return format_native(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def shown_url(url: str) -> str:
    """Return scheme, host and port of a URL, and an ellipsis for what was left out."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port is None else f":{parts.port}"
    rest = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    return f"{parts.scheme}://{host}{port}{'/...' if rest else ''}"


def _read_file(path: Path, *, project: bool) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}") from exc
    import tomllib  # only when there is a file

    try:
        values = tomllib.loads(data.decode()) if len(data) <= _MAX_FILE else None
    except (ValueError, RecursionError):
        values = None
    if values is None:
        raise ConfigError(f"{path} is not a TOML file of settings")
    unknown = sorted(set(values) - set(_BY_NAME))
    if unknown:
        raise ConfigError(f"{path}: unknown setting {unknown[0]!r}; known are {', '.join(_BY_NAME)}")
    personal = sorted(name for name in values if _BY_NAME[name].personal)
    if project and personal:
        raise ConfigError(
            f"{path}: a project file may not set {personal[0]!r}; it belongs in the user file, {user_file()}"
        )
    return values


def _read_local(path: Path) -> dict[str, object]:
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise ConfigError(f"cannot read {path}; run `steelyard down` and `steelyard up` again") from exc
    if not isinstance(values, dict):
        raise ConfigError(f"{path} is not what `steelyard up` writes; remove it")
    return {name: values[name] for name in _LOCAL if name in values}
