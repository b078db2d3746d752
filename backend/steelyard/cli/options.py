"""Commands that all take the same options, anywhere on the line, and options that several share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from steelyard.cli.context import Session
from steelyard.errors import SteelyardError

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
# Generic since click 8.4 only.
if TYPE_CHECKING:
    ParamType = click.ParamType[Any]
else:
    ParamType = click.ParamType

WIDTH = {"max_content_width": 80}
_COMMON = (
    (("--json", "json"), "Print one JSON document.", {"is_flag": True}),
    (("-q", "--quiet", "quiet"), "No talk and no progress on stderr.", {"is_flag": True}),
    (("--account", "account"), "Act with this account.", {"metavar": "NAME"}),
    (("--password-file", "password_file"), "Its password is the first line.", {"metavar": "FILE"}),
    (("--rpc", "rpc"), "Endpoint of the chain.", {"metavar": "URL"}),
    (("--chain-id", "chain_id"), "Chain that it must serve.", {"metavar": "ID"}),
    (("--deployment", "deployment"), "Deployment record to use.", {"metavar": "FILE"}),
    (("--store", "store"), "Folder, or URL of a Kubo RPC.", {"metavar": "PLACE"}),
    (("--home", "home"), "Folder of all local state.", {"metavar": "DIR"}),
)
EPILOG = "Also takes the common options: see `steelyard --help`."


def common(*, hidden: bool) -> list[click.Parameter]:
    """Return the options that every command takes. Hidden in the help of all but the first."""
    return [
        click.Option(list(names), help=text, hidden=hidden, expose_value=False, callback=take, **more)
        for names, text, more in _COMMON
    ]


def take(ctx: click.Context, param: click.Parameter, value: object) -> None:
    """Hand the value of an option, named as its setting, to the session."""
    session = ctx.find_object(Session)
    if session is not None and param.name is not None:
        session.take({param.name: value})


class Command(click.Command):
    """A command with the common options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Add the common options."""
        kwargs["params"] = [*(kwargs.get("params") or []), *common(hidden=True)]
        kwargs.setdefault("epilog", EPILOG)
        kwargs.setdefault("context_settings", WIDTH)
        super().__init__(*args, **kwargs)


class Group(click.Group):
    """A noun with verbs, with the common options."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Add the common options."""
        kwargs["params"] = [*(kwargs.get("params") or []), *common(hidden=True)]
        kwargs.setdefault("epilog", EPILOG)
        kwargs.setdefault("context_settings", WIDTH)
        kwargs.setdefault("subcommand_metavar", "COMMAND [ARGS]...")
        super().__init__(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order they were written."""
        return list(self.commands)


def with_session(function: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
    """Hand the session to a command as its first argument."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        session = click.get_current_context().find_object(Session)
        assert session is not None
        return function(session, *args, **kwargs)

    return call


def sends(function: F) -> F:
    """Add ``--dry-run`` and ``--yes`` to a command that changes state."""
    function = click.option("-y", "--yes", is_flag=True, help="Do not ask before money moves.")(function)
    return click.option("--dry-run", is_flag=True, help="Show price and gas; send nothing.")(function)


class Parsed(ParamType):
    """A value that one of our own functions reads, such as an amount or a duration."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        """Remember the reader; ``name`` stands in the help."""
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value, or fail as a usage error."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except SteelyardError as exc:
            self.fail(str(exc), param, ctx)
