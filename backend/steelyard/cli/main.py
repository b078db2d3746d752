"""The entry point. Commands are imported when they are called, so that help and reads start quickly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from steelyard.cli.context import Opener, Session
from steelyard.cli.exits import Exit, exit_of
from steelyard.cli.options import WIDTH, common
from steelyard.cli.output import Output
from steelyard.errors import SteelyardError

COMMANDS: Final[dict[str, dict[str, tuple[str, str]]]] = {
    "This machine": {
        "up": ("local", "Start a chain, a store and a market here."),
        "down": ("local", "Stop what `up` started."),
        "status": ("local", "Show what runs and where."),
        "store": ("store", "Look into the content store, and keep it."),
        "cache": ("pull", "Look into what was pulled, and keep it."),
        "account": ("account", "Create and keep accounts."),
        "config": ("settings", "Show every setting and its source."),
        "doctor": ("doctor", "Check everything, and say what to do."),
        "completions": ("settings", "Print a shell's completion script."),
    },
    "Look": {
        "list": ("look", "List models and datasets."),
        "search": ("search", "Find models and datasets by their cards."),
        "info": ("look", "Show an asset, its versions and offers."),
        "verify": ("look", "Check a version's public folder."),
    },
    "Buy": {
        "buy": ("buy", "Buy a licence, and wait for its key."),
        "rent": ("buy", "Rent, and wait for the key."),
        "renew": ("buy", "Prolong a rental by its period."),
        "pull": ("pull", "Download, decrypt and check a version."),
        "cat": ("pull", "Write one file of a version, or a part of it."),
        "purchases": ("buy", "List your purchases and licences."),
        "request-key": ("rights", "Ask for the key of a covered version."),
        "infer": ("usage", "Run a hosted model once."),
        "channels": ("usage", "List, claim and close channels."),
        "refund": ("rights", "Take back the money of a failed purchase."),
        "dispute": ("rights", "Prove that content is false."),
    },
    "Sell": {
        "card": ("card", "Show, check and begin a card."),
        "publish": ("sell", "Seal and publish a folder."),
        "offer": ("offer", "Make, close and list offers."),
        "sales": ("sell", "List purchases and key requests."),
        "deliver": ("sell", "Deliver keys that are paid for."),
        "serve": ("serve", "Deliver keys, keep the index, serve HTTP."),
        "meter": ("meter", "Offer a version by the unit."),
        "host": ("host", "Serve models by the call."),
        "settle": ("rights", "Turn a price into revenue."),
        "stage": ("stage", "Show or move a version's stage."),
        "bond": ("money", "Fund or take a seller's bond."),
        "role": ("rights", "Lend or take back a role."),
        "revoke": ("rights", "End a free, revocable licence."),
        "transfer": ("rights", "Give away an asset or a licence."),
        "keys": ("keys", "Hand an asset's keys over, or take them over."),
    },
    "Money": {
        "balance": ("money", "Show what an account has."),
        "claim": ("money", "Claim what revenue nodes owe."),
        "withdraw": ("money", "Take money out of the books."),
    },
    "Audit": {
        "audit": ("audit", "Show, export and verify a trail, or ask the index."),
        "receipts": ("usage", "Export and verify receipts of metered use."),
        "index": ("index", "Keep the index up to date, which answers audit questions."),
    },
}
"""Sections of the help: for each command its module and what it does, so that help imports none of them."""


class Root(click.Group):
    """The command that holds all others, and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all commands in the order of the help."""
        return [name for section in COMMANDS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command."""
        for section in COMMANDS.values():
            if cmd_name in section:
                module = import_module(f"steelyard.cli.{section[cmd_name][0]}")
                found = getattr(module, cmd_name.replace("-", "_") + "_command")
                assert isinstance(found, click.Command)
                return found
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, and name near ones for a mistyped one."""
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            ctx.fail(f"no command {args[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section."""
        for title, section in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in section.items()], col_max=14)


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        click.echo(f"steelyard {version('steelyard')}")
        ctx.exit()


ROOT: Final = Root(
    "steelyard",
    params=[
        *common(hidden=False),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version.",
        ),
    ],
    help="A market for model weights: verified delivery, or the money back.",
    epilog="Exit codes: 0 ok, 1 unexpected, 2 usage or input, 3 not found, 4 refused, 5 verification failed, "
    "6 unavailable, 130 interrupted. An option may stand before or after the command. Settings: `steelyard config`.",
    context_settings=WIDTH,
    subcommand_metavar="COMMAND [ARGS]...",
    no_args_is_help=False,
    invoke_without_command=True,
    callback=lambda: _bare(),
)


def _bare() -> None:
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(argv: Sequence[str], *, opener: Opener | None = None) -> int:
    """Run one command line and return its exit code; all errors are printed, none is raised.

    Args:
        argv: arguments without the program's name.
        opener: how to open the market; by the settings if None.
    """
    session = Session(opener)
    # Known before anything is parsed, so that a usage error is JSON too.
    session.take({"json": "--json" in argv})
    try:
        answer: Any = ROOT.main(list(argv), prog_name="steelyard", standalone_mode=False, obj=session)
        return answer if isinstance(answer, int) else Exit.OK
    except click.exceptions.NoArgsIsHelpError as exc:
        click.echo(exc.format_message(), err=True)
        return Exit.USAGE
    except click.ClickException as exc:
        hint = exc.ctx.command_path if isinstance(exc, click.UsageError) and exc.ctx else "steelyard"
        return _fail(session, f"{exc.format_message()}\nSee `{hint} --help`.", "UsageError", Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        return _fail(session, "stopped", "Interrupted", Exit.INTERRUPTED)
    except SteelyardError as exc:
        if _debug(session):
            raise
        return _fail(session, str(exc), type(exc).__name__, exit_of(exc))
    except Exception as exc:
        if _debug(session):
            raise
        text = f"unexpected {type(exc).__name__}: {exc}\nSTEELYARD_DEBUG=1 shows where. Please report it."
        return _fail(session, text, type(exc).__name__, Exit.UNEXPECTED)
    finally:
        session.close()


def main() -> None:
    """Run the command line of this process."""
    sys.exit(run(sys.argv[1:]))


def _debug(session: Session) -> bool:
    try:
        return session.config.debug
    except SteelyardError:
        return False


def _fail(session: Session, message: str, kind: str, code: Exit) -> int:
    try:
        out = session.out
    except SteelyardError:  # the settings themselves are what is wrong
        out = Output(as_json=session.as_json, color=False)
    out.error(message, kind=kind, code=int(code))
    return code


if __name__ == "__main__":
    main()
