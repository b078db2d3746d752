"""``steelyard config`` and ``steelyard completions``."""

from __future__ import annotations

from typing import Final

import click

from steelyard import config as settings
from steelyard.cli.context import Session
from steelyard.cli.options import Command, with_session
from steelyard.cli.output import table
from steelyard.errors import NotFoundError

_NOTE: Final = "Flag > environment > ./steelyard.toml > user file > `steelyard up` > default."


@click.command("config", cls=Command)
@click.argument("name", required=False)
@with_session
def config_command(session: Session, name: str | None) -> None:
    """Show every setting and its source.

    With NAME only that setting's value. Credentials in an endpoint are left out.
    """
    config = session.config
    if name is not None:
        key = name.replace("-", "_").lower()
        if key not in {item.name for item in settings.SETTINGS}:
            raise NotFoundError(
                f"no setting {name!r}; there are {', '.join(item.name for item in settings.SETTINGS)}"
            )
        value = settings.shown(config, key)
        session.out.result({"name": key, "value": value, "source": config.sources[key]}, [_text(value)])
        return
    found = [
        (item.name, settings.shown(config, item.name), config.sources[item.name])
        for item in settings.SETTINGS
    ]
    document = {key: {"value": value, "source": source} for key, value, source in found}
    rows = [(key, source, _text(value)) for key, value, source in found]
    session.out.result(document, table(("SETTING", "SOURCE", "VALUE"), rows))
    session.out.say(f"{_NOTE}\nUser file: {settings.user_file()}")


@click.command("completions", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@with_session
def completions_command(session: Session, shell: str) -> None:
    """Print a shell's completion script.

    For bash: eval "$(steelyard completions bash)" in ~/.bashrc; for fish into
    ~/.config/fish/completions/steelyard.fish.
    """
    from click.shell_completion import get_completion_class

    from steelyard.cli.main import ROOT

    found = get_completion_class(shell)
    assert found is not None
    # Not found.source(): for bash that runs bash, to look at its version.
    completer = found(ROOT, {}, "steelyard", "_STEELYARD_COMPLETE")
    script = completer.source_template % completer.source_vars()
    session.out.result({"shell": shell, "script": script}, script.splitlines())


def _text(value: object) -> str:
    if value is None or value == {}:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{name}={address}" for name, address in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)
