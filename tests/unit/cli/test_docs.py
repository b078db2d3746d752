"""docs/cli.md against what the commands themselves say."""

import re
from pathlib import Path

import click
import pytest

from steelyard import config
from steelyard.cli.exits import Exit
from steelyard.cli.main import COMMANDS, ROOT
from steelyard.cli.options import common

DOCS = (Path(__file__).resolve().parents[3] / "docs" / "cli.md").read_text()
HEADINGS = re.findall(r"^#{4,5} `steelyard ([^`]*)`$", DOCS, re.MULTILINE)


def commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for section in COMMANDS.values():
        for name in section:
            command = ROOT.get_command(click.Context(ROOT), name)
            assert command is not None
            found[name] = command
            found |= {f"{name} {verb}": item for verb, item in getattr(command, "commands", {}).items()}
    return found


def metavars(command: click.Command) -> list[str]:
    arguments = [item for item in command.params if isinstance(item, click.Argument)]
    return [item.make_metavar(click.Context(command)) for item in arguments]


def section(name: str) -> str:
    heading = " ".join([name, *metavars(commands()[name])])
    start = DOCS.index(f"# `steelyard {heading}`\n")
    following = re.search(r"^#", DOCS[start + 2 :], re.MULTILINE)
    return DOCS[start : start + 2 + following.start()] if following else DOCS[start:]


def test_every_command_is_documented_and_no_other() -> None:
    assert HEADINGS == [" ".join([name, *metavars(command)]) for name, command in commands().items()]


@pytest.mark.parametrize("name", list(commands()))
def test_options_are_documented_and_no_others(name: str) -> None:
    options = [item for item in commands()[name].params if isinstance(item, click.Option) and not item.hidden]
    said = dict(re.findall(r"^\| (`--?[^|]*`) \| (.*) \|$", section(name), re.MULTILINE))
    assert said == {", ".join(f"`{text}`" for text in item.opts): item.help or "" for item in options}


@pytest.mark.parametrize("name", list(commands()))
def test_description_is_that_of_the_help(name: str) -> None:
    assert " ".join((commands()[name].help or "").split()) in " ".join(section(name).split())


def test_exit_codes_are_documented() -> None:
    said = re.findall(r"^\| (\d+) \| ", DOCS, re.MULTILINE)
    assert [int(code) for code in said] == [int(code) for code in Exit]


def test_settings_are_documented() -> None:
    for item in config.SETTINGS:
        variable = "-" if item.in_file else f"`{item.variable}`"
        assert f"| `{item.name}` | {variable} | {item.what}" in DOCS


def test_common_options_are_documented() -> None:
    for item in common(hidden=False):
        assert all(f"`{text}" in DOCS for text in item.opts)


def test_every_option_has_a_help() -> None:
    missing = [
        (name, item.name)
        for name, command in commands().items()
        for item in command.params
        if isinstance(item, click.Option) and not item.help
    ]
    assert missing == []


@pytest.mark.parametrize("name", list(commands()))
def test_no_option_takes_the_value_of_a_common_one(name: str) -> None:
    own = [item.name for item in commands()[name].params if not getattr(item, "hidden", False)]
    assert not set(own) & {item.name for item in common(hidden=True)}
